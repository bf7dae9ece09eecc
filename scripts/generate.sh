#!/usr/bin/env bash
# Generates what is made of proto files: TypeScript stubs, and the descriptors that server reflection
# answers with. Nothing of it is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/node_modules/.bin:$PATH"

descriptors=src/gen/descriptors
buf generate
mkdir -p "$descriptors"

# Usage: describe <name> <folder of the module> [<path in it>]
describe() {
  buf build "$2" ${3:+--path "$2/$3"} --as-file-descriptor-set --exclude-source-info \
    -o "$descriptors/$1.binpb"
}
describe session_import proto
describe health node_modules/grpc-health-check/proto
describe error_details node_modules/google-proto-files google/rpc/error_details.proto
