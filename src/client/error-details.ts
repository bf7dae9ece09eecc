import type { ServiceError } from '@grpc/grpc-js';
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  ResourceInfo,
  RetryInfo,
} from '../gen/google/rpc/error_details';
import { Status } from '../gen/google/rpc/status';
import type { ErrorReason } from '../gen/sessionimport/v1/session_import';

type NameOf<Name> = Name extends `ERROR_REASON_${infer Reason}` ? Reason : never;

/** The reasons that the contract lists: the names of `ErrorReason`, as errors carry them. */
export type KnownReason = Exclude<NameOf<keyof typeof ErrorReason>, 'UNSPECIFIED'>;

/** What the service says about a failed call. */
export interface ErrorDetails {
  /** Why it failed. A service newer than this client may know other reasons. */
  readonly reason: KnownReason | (string & Record<never, never>);
  /** The facts of this failure, such as ids; which ones, the contract says at each reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is wrong with the request, field by field; empty unless it is malformed. */
  readonly fieldViolations: readonly { readonly field: string; readonly description: string }[];
  /** Which rules for acceptance are not met, and by what; empty unless the import was refused for them. */
  readonly acceptanceViolations: readonly {
    /** The rule, by its name in `AcceptanceRules`. */
    readonly rule: string;
    /** What it is about: `sessions/{id}`, `sessions/{id}/{relation}` or `sessions/{id}/{relation}/{ordinal}`. */
    readonly subject: string;
    /** What was found, and what is wanted, in words for people. */
    readonly description: string;
  }[];
  /** What was not found. */
  readonly resource: { readonly type: string; readonly name: string } | undefined;
  /** How long to wait before trying again, in milliseconds; absent if that is of no use. */
  readonly retryDelay: number | undefined;
}

/**
 * Unpacks what the service says about a failed call.
 *
 * @param error What a call has failed with.
 * @returns Nothing for an error that has no details: one that gRPC itself has raised, such as for a
 *   deadline that has passed or a connection that was lost, or one of another service.
 */
export function errorDetails(error: unknown): ErrorDetails | undefined {
  if (!isServiceError(error)) return undefined;
  try {
    const [trailer] = error.metadata.get('grpc-status-details-bin');
    return Buffer.isBuffer(trailer) ? unpacked(trailer) : undefined;
  } catch {
    // A proxy may answer in place of the service, with details of its own. And the errors of other libraries may have
    // metadata of another type.
    return undefined;
  }
}

function unpacked(trailer: Buffer): ErrorDetails | undefined {
  const { details } = Status.decode(trailer);
  const unpack = <T>(name: string, type: { decode(bytes: Uint8Array): T }): T | undefined => {
    const found = details.find(({ typeUrl }) => typeUrl.endsWith(`/google.rpc.${name}`));
    return found && type.decode(found.value);
  };
  const info = unpack('ErrorInfo', ErrorInfo);
  if (!info) return undefined;
  const badRequest = unpack('BadRequest', BadRequest);
  const precondition = unpack('PreconditionFailure', PreconditionFailure);
  const resource = unpack('ResourceInfo', ResourceInfo);
  const delay = unpack('RetryInfo', RetryInfo)?.retryDelay;
  return {
    reason: info.reason,
    metadata: info.metadata,
    fieldViolations: (badRequest?.fieldViolations ?? []).map(({ field, description }) => ({
      field,
      description,
    })),
    acceptanceViolations: (precondition?.violations ?? []).map(
      ({ type: rule, subject, description }) => ({ rule, subject, description }),
    ),
    resource: resource && { type: resource.resourceType, name: resource.resourceName },
    retryDelay: delay && delay.seconds * 1_000 + delay.nanos / 1_000_000,
  };
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'metadata' in error;
}
