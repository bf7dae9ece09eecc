import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { isUuid, toId, type ApplicationId, type Id, type SessionId } from '../model/ids';
import { jsonOf } from '../model/json';
import type { Erasure } from '../store/erasures';

/** The most characters of a line. {@link textOfLine} makes at most 174. */
const maxLine = 1_000;

/**
 * The first moment that a line may name. There were no erasures before it, and MySQL can't store years below 1000
 * (MySQL 8.4 manual, section 13.2.2).
 */
const earliest = new Date('2000-01-01T00:00:00Z');

/** How every line begins. */
const beginning = '{"session_id":"';

/** What a line says. */
export type LineContent =
  | { readonly type: 'erasure'; readonly erasure: Erasure }
  /** A process was killed while it wrote the line, before it deleted what the line was about. */
  | { readonly type: 'cut off' }
  | { readonly type: 'unusable'; readonly problem: string };

/** A line of a record. */
export type RecordLine = LineContent & {
  /** From 1. */
  readonly number: number;
};

/** The text of a line, without its end. */
export function textOfLine({ sessionId, applicationId, kind, erasedAt }: Erasure): string {
  return JSON.stringify({
    session_id: sessionId,
    application_id: applicationId,
    session_kind: kind,
    erased_at: erasedAt.toISOString(),
  });
}

const id = <T extends Id<string>>() =>
  z
    .string('must be a text')
    .refine(isUuid, 'must be a UUID')
    .transform((text) => toId<T>(text));

const fields = z.strictObject({
  session_id: id<SessionId>(),
  application_id: id<ApplicationId>(),
  session_kind: z.enum(['user', 'business'], 'must be user or business'),
  erased_at: z.iso
    .datetime('must be a time in UTC, such as 2026-01-31T12:00:00.000Z')
    .transform((text) => new Date(text))
    .refine((time) => time >= earliest, 'must not be before the year 2000'),
});

/**
 * Reads a record line by line, whatever its size. Empty lines are left out.
 *
 * @throws Error if the file can't be read.
 */
export async function* readRecord(path: string): AsyncGenerator<RecordLine> {
  let number = 0;
  for await (const text of linesOf(path)) {
    number += 1;
    if (text !== '') yield { number, ...contentOf(text) };
  }
}

/** The lines of a file. Of a line that is too long, only the beginning is kept. */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = '';
  const chunks = createReadStream(path, 'utf8') as AsyncIterable<string>;
  for await (const chunk of chunks) {
    const [first = '', ...others] = chunk.split('\n');
    rest = beginningOf(rest + first);
    for (const other of others) {
      yield rest;
      rest = beginningOf(other);
    }
  }
  if (rest !== '') yield rest;
}

const beginningOf = (line: string): string => line.slice(0, maxLine + 1);

function contentOf(text: string): LineContent {
  if (text.length > maxLine) return unusable(`has more than ${maxLine} characters`);
  const parsed = jsonOf(text);
  if (parsed === undefined) {
    return isCutOff(text) ? { type: 'cut off' } : unusable('is not JSON');
  }
  const { data, error } = fields.safeParse(parsed);
  if (!data) return unusable(problemsOf(error));
  return {
    type: 'erasure',
    erasure: {
      sessionId: data.session_id,
      applicationId: data.application_id,
      kind: data.session_kind,
      erasedAt: data.erased_at,
    },
  };
}

/** Whether a text can be the first part of a line. A line has one brace that closes, and that is its end. */
function isCutOff(text: string): boolean {
  return !text.includes('}') && (text.startsWith(beginning) || beginning.startsWith(text));
}

function unusable(problem: string): LineContent {
  return { type: 'unusable', problem };
}

function problemsOf(error: z.ZodError): string {
  return error.issues
    .map(({ path, message, code }) => {
      if (code === 'unrecognized_keys') return 'has an unknown field';
      return path.length === 0 ? 'is no JSON object' : `${path.join('.')} ${message}`;
    })
    .join('; ');
}
