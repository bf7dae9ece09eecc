import { z } from 'zod';
import { codeRule, isCode } from '../../model/grounds';
import { groupBy } from '../../model/collections';
import { isUuid, toId, type ApplicationId, type Id } from '../../model/ids';
import { ServiceError, type FieldViolation } from '../../model/problems';
import { isUtf8 } from '../server/strict-requests';

/** A text field of a request. */
export const text = z.string().refine(isUtf8, 'must be UTF-8');

/** A required field that contains a UUID. */
export const requiredId = <T extends Id<string>>() =>
  z
    .string()
    .min(1, 'is required')
    .refine(isUuid, 'must be a UUID')
    .transform((id) => toId<T>(id));

/** An optional field that contains a UUID. */
export const optionalId = <T extends Id<string>>() =>
  z
    .string()
    .refine(isUuid, 'must be a UUID when present')
    .transform((id) => toId<T>(id))
    .optional();

/** An enum field. A value that only newer clients know is refused. */
export const knownValue = (values: readonly number[]) =>
  z.number().refine((value) => values.includes(value), 'must be a value of its enum');

/** A protobuf timestamp. MySQL can compare all times in this range. */
export const moment = z
  .date('must be a time from 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z')
  .min(new Date('0001-01-01T00:00:00Z'), 'must not be before the year 1')
  .max(new Date('9999-12-31T23:59:59.999Z'), 'must not be after the year 9999');

/** More items than anybody needs, and so few that checking them does not hold up other calls. */
const mostItems = 100;

/** A list, whose items are looked at only if there are not too many. */
export const boundedList = <Item extends z.ZodType>(item: Item) =>
  z.array(z.unknown()).max(mostItems, `must have at most ${mostItems} items`).pipe(z.array(item));

const maxVendorDataLength = 255;

/** An application's own name for a person or company: compared byte for byte, never empty. */
export const vendorData = text
  .min(1, 'must not be empty when present; leave it out if there is none')
  .refine(
    // Characters, and not the UTF-16 units that a JavaScript string counts.
    (name) => name.length <= maxVendorDataLength || Array.from(name).length <= maxVendorDataLength,
    `must have at most ${maxVendorDataLength} characters`,
  );

/**
 * Checks the form of a request.
 *
 * @param schema the rules that need nothing but the fields. It is made once: in each call, that would take 0.1 to
 * 0.3 ms.
 * @param fields the request's fields by their names in the proto file, so that a violation names what
 * the caller wrote.
 * @param besides violations of rules that need the caller or the time, or that compare fields: see {@link brokenIf}.
 * @throws ServiceError with INVALID_REQUEST, naming every field that is wrong.
 */
export function checkRequest<T>(
  schema: z.ZodType<T>,
  fields: object,
  besides: readonly (FieldViolation | undefined)[] = [],
): T {
  const parsed = schema.safeParse(fields);
  const others = besides.filter((violation) => violation !== undefined);
  if (parsed.success && others.length === 0) return parsed.data;
  const issues = parsed.success ? [] : parsed.error.issues;
  const found = [
    ...issues.map(({ path, message }) => ({ field: fieldPath(path), description: message })),
    ...others,
  ];
  // The first one of each field.
  const violations = [...groupBy(found, ({ field }) => field).values()].flatMap(
    ([one]) => one ?? [],
  );
  throw new ServiceError({ reason: 'INVALID_REQUEST', violations });
}

/**
 * A clock for what is written behind locks. It checks the request again whenever it is read: what had to be in the
 * future when the call began has to be so when it has its locks.
 *
 * @param check throws if the request is no longer valid.
 */
export function checkingClock(clock: () => Date, check: (now: Date) => unknown): () => Date {
  return () => {
    const now = clock();
    check(now);
    return now;
  };
}

/** The violation of a rule that depends on more than its field; undefined unless the rule is broken. */
export function brokenIf(
  broken: boolean,
  field: string,
  description: string,
): FieldViolation | undefined {
  return broken ? { field, description } : undefined;
}

/** The violation of a period that does not end after it begins. */
export function emptyPeriod(
  since: Date | undefined,
  until: Date | undefined,
  field: string,
  description: string,
): FieldViolation | undefined {
  return brokenIf(since !== undefined && until !== undefined && until <= since, field, description);
}

/** The violation of naming one's own application as the other one. */
export function ownApplication(
  field: string,
  id: string,
  caller: ApplicationId,
): FieldViolation | undefined {
  const own = id.toLowerCase() === caller;
  return brokenIf(own, field, 'must be another application than your own');
}

/** The error for one invalid field, when the rule can't be part of a schema. */
export function invalidField(field: string, description: string): ServiceError {
  return new ServiceError({ reason: 'INVALID_REQUEST', violations: [{ field, description }] });
}

/** The path of a field for google.rpc.BadRequest: `statuses[0]`, `target.session_id`. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((whole, part) => {
    if (typeof part === 'number') return `${whole}[${part}]`;
    return whole === '' ? String(part) : `${whole}.${String(part)}`;
  }, '');
}

/** An optional code of so many characters at most: a purpose or a reference. */
export const optionalCode = (longest: number) =>
  z
    .string()
    .refine((text) => isCode(text, longest), `must consist of ${codeRule(longest)}, when present`)
    .optional();
