# Everything that is needed is fetched and built by the target that needs it, once.
.DEFAULT_GOAL := help
.PHONY: help demo run test test-faults test-image test-cluster bench bench-full stress stress-full lint docs build clean

export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

ts := node -r sucrase/register
with_mysql := $(ts) scripts/mysql/with-mysql.ts --

modules := node_modules/.package-lock.json
generated := src/gen/descriptors/session_import.binpb
program := dist/main.js
# What lint knows of files that have not changed since.
cache := node_modules/.cache/session-import
# Which file imports which.
imports := $(cache)/imports.json
read_imports = mkdir -p $(cache) && depcruise --output-type json src test bench scripts > $(imports)
# What lint looks at. Folders belong to it, so that a deleted file is noticed. Their names end in /., because targets have
# names such as test and bench.
checked := $(shell find . \( -path ./node_modules -o -path ./dist -o -path ./.git \) -prune -o -type d -exec printf '%s/.\n' {} + -o -print)

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(program) ## Import a user and a business session, end to end, and show what was copied
	@$(with_mysql) $(ts) scripts/demo.ts

run: $(program) ## Run the service on demo data, with ready grpcurl lines, until Ctrl-C
	@$(with_mysql) $(ts) scripts/run.ts

test: $(generated) ## Check formatting, lint, types and the contract, and run the tests on a real MySQL
	@$(ts) scripts/test.ts

test-faults: $(generated) ## Test what happens when services, relays and databases are killed, cut off and raced
	mocha --parallel --jobs 2 test/faults

test-image: $(generated) ## Make the image's program and the client's package, install them, and test both and the examples
	mocha test/deploy/image.steps.ts test/clients/*.steps.ts

test-cluster: $(generated) ## Test the service on clusters of MySQL and of MariaDB, while their nodes fail
	mocha --config test/cluster/mocharc.json

bench: $(program) ## Measure imports beside other ways of copying, in some three minutes
	@$(ts) bench/main.ts

bench-full: $(program) ## Measure that and more, in ten minutes or more: sizes, settings, memory
	@$(ts) bench/main.ts --full

stress: $(program) ## Measure what an application notices while others flood the service, in ten minutes
	@$(ts) bench/stress/main.ts

stress-full: $(program) ## The same with a minute for each flood, and write the figures into docs/security.md
	@$(ts) bench/stress/main.ts --seconds 60 --save stress-full; held=$$?; \
	  if [ $$held -lt 2 ]; then $(ts) bench/stress/page.ts; fi; exit $$held

lint: $(cache)/clean ## Check formatting, lint, types and the contract

# Does nothing if no file has changed since it last passed.
$(cache)/clean: $(generated) $(checked)
	oxfmt --list-different .
	oxlint --quiet
	eslint --cache --cache-location $(cache)/eslint src
	@$(read_imports)
	depcruise-fmt --exit-code --output-type err $(imports)
	@$(ts) scripts/draw-imports.ts --check < $(imports)
	@$(ts) scripts/docs.ts --check
	buf lint
	buf breaking --against proto/released.txtpb
	@touch $@

docs: $(generated) ## Write into docs/ what the code says: errors, configuration, commands, imports
	@$(ts) scripts/docs.ts
	@$(read_imports)
	@$(ts) scripts/draw-imports.ts < $(imports)

build: $(program) ## Build the program into dist/

clean: ## Delete what was built and installed here (MySQL and Python stay in the user's cache)
	rm -rf dist src/gen node_modules

$(modules): package.json package-lock.json .npmrc
	@npm ci --loglevel=error
	@touch $@

$(generated): $(modules) buf.yaml buf.gen.yaml scripts/generate.sh $(shell find proto -name '*.proto')
	@npm run --silent generate
	@touch $@

$(program): $(generated) tsconfig.json tsconfig.build.json $(shell find src -name '*.ts' -not -path 'src/gen/*')
	@npm run --silent build
