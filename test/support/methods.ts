import { readFileSync } from 'node:fs';
import path from 'node:path';
import {
  createFileRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type DescField,
  type DescMethod,
  type JsonObject,
  type JsonValue,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';

const root = path.join(__dirname, '..', '..');
const compiled = path.join(root, 'src', 'gen', 'descriptors', 'session_import.binpb');
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(compiled)));

/** Every method of every service of the contract. */
export const methods: readonly DescMethod[] = [...registry].flatMap((type) =>
  type.kind === 'service' ? type.methods : [],
);

/** `SessionRead/GetSession`, for example. */
export function titleOf({ parent, name }: DescMethod): string {
  return `${parent.name}/${name}`;
}

/** A method as a client needs it; requests and answers are JSON, by the names in the proto file. */
export function methodOf({ parent, name, input, output, methodKind }: DescMethod) {
  return {
    path: `/${parent.typeName}/${name}`,
    responseStream: methodKind === 'server_streaming',
    requestSerialize: (request: JsonObject): Buffer =>
      Buffer.from(toBinary(input, fromJson(input, request))),
    responseDeserialize: (bytes: Buffer): JsonValue =>
      toJson(output, fromBinary(output, bytes), { useProtoFieldName: true }),
  };
}

/** The privilege that a method needs, as its comment says in the proto file, or its service's. */
export function privilegeOf({ parent, name }: DescMethod): string | undefined {
  const proto = readFileSync(path.join(root, 'proto', `${parent.file.name}.proto`), 'utf8');
  const service = proto.slice(proto.indexOf(`\nservice ${parent.name} {`));
  const told = [
    commentBefore(`rpc ${name}(`, service),
    commentBefore(`service ${parent.name} {`, proto),
  ].map((comment) => /Privilege: `([^`]+)`/.exec(comment)?.[1]);
  return told.find((privilege) => privilege !== undefined);
}

/** The comment that ends right before a declaration, in one line. */
function commentBefore(declaration: string, text: string): string {
  const lines = text.slice(0, text.indexOf(declaration)).trimEnd().split('\n');
  const first = lines.findLastIndex((line) => !line.trimStart().startsWith('//')) + 1;
  return lines
    .slice(first)
    .map((line) => line.replace('//', '').trim())
    .join(' ');
}

/** Whether a field names something by its id: ids are called so throughout the contract. */
export function isId({ name }: DescField): boolean {
  return name.endsWith('_id') || name.startsWith('shared_from_');
}

/** A request with another value in one field; what can't be there beside it is left out. */
export function withField(request: JsonObject, field: DescField, value: string): JsonObject {
  const alternatives = new Set(field.oneof?.fields.map(({ name }) => name));
  const rest = Object.entries(request).filter(([name]) => !alternatives.has(name));
  return { ...Object.fromEntries(rest), [field.name]: value };
}
