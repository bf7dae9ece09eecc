import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { Server } from '@grpc/grpc-js';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { withSmallRequests } from './small-requests';

/** The files that buf has compiled: the contract, the health service and the standard error details. */
const descriptors = path.join(__dirname, '..', '..', 'gen', 'descriptors');

/** A service and what answers its calls: the arguments of `addService`. */
type Registration = Parameters<Server['addService']>;

/** The same for all servers of a process: making them takes long, and they do not depend on a server. */
let registrations: readonly Registration[] | undefined;

/**
 * Adds server reflection to a server: lets grpcurl and its like call the service without the proto file, and show
 * error details unpacked.
 *
 * The descriptors are those that a compiler has made: the ones that proto-loader would make of the
 * proto files name no imports (grpc/grpc-node#2595), and strict clients refuse them.
 */
export function addReflection(server: Server): void {
  registrations ??= makeRegistrations();
  const limited = withSmallRequests(server);
  for (const registration of registrations) limited.addService(...registration);
}

function makeRegistrations(): readonly Registration[] {
  const compiled = readdirSync(descriptors).map((file) => [file, readCompiled(file)] as const);
  const made: Registration[] = [];
  new ReflectionService(Object.fromEntries(compiled)).addToServer({
    addService: (...registration) => made.push(registration),
  });
  return made;
}

/** A compiled file and its imports, in the shape of which the reflection service reads one member. */
function readCompiled(file: string): PackageDefinition[string] {
  const set = fromBinary(FileDescriptorSetSchema, readFileSync(path.join(descriptors, file)));
  const fileDescriptorProtos = set.file.map((descriptor) =>
    Buffer.from(toBinary(FileDescriptorProtoSchema, descriptor)),
  );
  return { fileDescriptorProtos } as unknown as PackageDefinition[string];
}
