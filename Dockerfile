# The image of Session Import:
#
#   docker build --build-arg VERSION=0.2.0 --build-arg REVISION="$(git rev-parse HEAD)" -t session-import .
#
# Images are named by their exact version; Dependabot proposes newer ones.

# Builds the program. The package of the client is not part of the image: no workspaces.
FROM node:24.21.0-trixie-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --workspaces=false
COPY buf.yaml buf.gen.yaml tsconfig.json tsconfig.build.json ./
COPY scripts/generate.sh scripts/
COPY proto proto
RUN npm run generate
COPY src src
RUN npm run build

# Installs what the program needs to run, and nothing else. No package may run a script here.
FROM node:24.21.0-trixie-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts --workspaces=false

# What runs: Debian without npm and the hundreds of packages that npm brings along. Debian and not
# "distroless", whose images have no tags for versions. This stage runs no command, so any base with
# glibc and libstdc++ will do: distroless/cc by digest, or the hardened image of your own house.
FROM debian:13.6-slim
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Session Import" \
      org.opencontainers.image.description="Clones a shared verification session into the application it was shared with, over gRPC." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /usr/local/bin/node /usr/local/bin/node
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
# What the program reads when it is a client.
COPY proto/service-config.json proto/

# On all addresses, as a container must: the service refuses to speak plain text there unless
# GRPC_ALLOW_PLAINTEXT says so.
ENV NODE_ENV=production \
    GRPC_ADDRESS=0.0.0.0:50051 \
    METRICS_ADDRESS=0.0.0.0:9464 \
    LOG_FORMAT=json
EXPOSE 50051 9464

# Nobody that a file belongs to: the program can read its files, and change nothing.
USER 65532:65532

# Whether the process lives, and not whether it is ready: whoever restarts containers that are
# unhealthy must not do so because the database is away. Kubernetes has probes of its own.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.METRICS_ADDRESS.split(':').at(-1) + '/livez').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]

# Without a shell between, so that signals reach the program: `docker run … migrate` runs a command.
ENTRYPOINT ["node", "--enable-source-maps", "dist/main.js"]
CMD ["serve"]
