import { constants, createReadStream, openSync, type Stats } from 'node:fs';
import { Socket } from 'node:net';
import { pipeline, type Readable } from 'node:stream';
import { TextDecoder } from 'node:util';
import { CsvError, parse as csv } from 'csv-parse';
import { v5 } from 'uuid';
import { z } from 'zod';
import { isUuid, toId, type RequestId } from '../../model/ids';
import { jsonOf } from '../../model/json';

/** One import that a file asks for. */
export interface WantedImport {
  readonly requestId: RequestId;
  readonly shareToken: string;
  readonly workflowId: string;
  readonly vendorData: string | undefined;
  readonly trustReview: boolean;
}

/** A line of the file: an import, or what is wrong with it. */
export interface Line {
  /** Its number, from 1. Of a row of CSV with line breaks in it, the last one. */
  readonly number: number;
  readonly content: WantedImport | { readonly problem: string };
}

/** What the ids of requests are made in: a UUID of this program's own (RFC 9562, section 5.5). */
const namespace = 'b3b1d0f6-7f4c-4c52-9a37-0a5f6f2f9e51';

/** The most characters of a line. */
const maxLine = 256 * 1024;

/** The most bytes of all texts of a line. gRPC refuses a request over 64 KiB as if the service were overloaded. */
const maxTexts = 60_000;

const columns = ['share_token', 'workflow_id', 'vendor_data', 'trust_review'] as const;

/**
 * Whether a text has no half of a surrogate pair. JSON can contain one as an escape; it would be imported as another
 * character.
 */
const isWhole = (text: string): boolean => text.isWellFormed();

const optionalText = z
  .string()
  .refine(isWhole, 'has half a character')
  .nullish()
  .transform((text) => (text === null || text === '' ? undefined : text));

/** CSV has no types, so a flag may be text as well. */
const flag = z
  .union(
    [z.boolean(), z.enum(['true', 'false', '']).transform((text) => text === 'true')],
    'must be true or false',
  )
  .nullish()
  .transform((value) => value ?? false);

const schema = z.strictObject({
  share_token: z.string('must be a text').min(1, 'must not be empty'),
  workflow_id: z.string('must be a text').refine(isUuid, 'must be a UUID'),
  vendor_data: optionalText,
  trust_review: flag,
});

/**
 * Reads the lines of a file, one after another, whatever its size. A file whose name ends in `.csv` is CSV with the
 * names of the columns in its first line; any other is JSON Lines.
 *
 * @param file the open file.
 * @throws Error if the file can't be read, is no CSV, or lacks a column.
 */
export function readLines(file: Input, isCsv: boolean): AsyncIterable<Line> {
  return isCsv ? csvLines(file) : jsonLines(file);
}

/** An open file that is read from its beginning to its end. */
export interface Input extends Readable {
  /** How far it has been read. */
  readonly bytesRead: number;
}

/** Opens a file. */
export function openFile(path: string): Input {
  return createReadStream(path, { highWaterMark: 64 * 1024 });
}

/** Opens a file or a named pipe. */
export function openInput(path: string, stats: Stats): Input {
  if (!stats.isFIFO()) return openFile(path);
  // If a pipe were read like a file, a thread would wait for its next bytes. Nothing can stop that thread, and the
  // process does not end before it.
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return new Socket({ fd, readable: true, writable: false });
}

async function* csvLines(file: Input): AsyncIterable<Line> {
  const records = pipeline(
    file,
    decode,
    csv({
      ...{ bom: true, columns: checkHeader, info: true, max_record_size: maxLine },
      ...{ relax_column_count: true, skip_empty_lines: true, trim: true },
      // By default, only the ending of the first line counts, and lines with other endings are read as one.
      record_delimiter: ['\r\n', '\n', '\r'],
    }),
    // What goes wrong is thrown where the records are read.
    () => undefined,
  ) as AsyncIterable<CsvRecord>;
  try {
    for await (const { record, info } of records) {
      // Too many fields, perhaps because one with a comma is not in quotes. Or too few, as when the file was cut off.
      const content = info.error
        ? { problem: 'does not have as many fields as the first line' }
        : contentOf(record);
      yield { number: info.lines, content };
    }
  } catch (error) {
    throw withoutValues(error);
  }
}

interface CsvRecord {
  readonly record: unknown;
  /** `error` is set if the record has too many fields, or too few. */
  readonly info: { readonly lines: number; readonly error?: CsvError };
}

/** Removes what follows the colon in the parser's message: it quotes the file, and may contain a token. */
function withoutValues(error: unknown): unknown {
  if (!(error instanceof CsvError)) return error;
  const [what] = error.message.split(':');
  return new Error(`the file is no CSV: ${what} at line ${String(error['lines'])}`);
}

/** Decodes UTF-8 and fails on anything else: a wrong character would be imported for ever. */
async function* decode(chunks: AsyncIterable<Buffer>): AsyncIterable<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  for await (const chunk of chunks) yield textOf(decoder, chunk, true);
  yield textOf(decoder, Buffer.alloc(0), false);
}

function textOf(decoder: TextDecoder, bytes: Buffer, stream: boolean): string {
  try {
    return decoder.decode(bytes, { stream });
  } catch {
    throw new Error('the file is not in UTF-8');
  }
}

function checkHeader(header: readonly string[]): string[] {
  const missing = ['share_token', 'workflow_id'].filter((name) => !header.includes(name));
  if (missing.length > 0) throw new Error(`the first line does not name ${missing.join(' and ')}`);
  const unknown = header.filter((name) => !(columns as readonly string[]).includes(name));
  if (unknown.length > 0) {
    throw new Error(`the first line names ${unknown.join(', ')}; there are ${columns.join(', ')}`);
  }
  // If two columns had the same name, only the last one would be read.
  if (new Set(header).size < header.length) throw new Error('the first line names a column twice');
  return [...header];
}

async function* jsonLines(file: Input): AsyncIterable<Line> {
  let number = 0;
  for await (const line of textLines(file)) {
    number++;
    const text = number === 1 ? line.replace(/^\uFEFF/, '') : line;
    if (text.trim() === '') continue;
    yield { number, content: contentOf(jsonOf(text)) };
  }
}

/**
 * The lines of a text. They end at line feeds alone: Node.js's own readline also splits at characters that JSON may
 * have in its texts.
 *
 * @throws Error if the file can't be read, is not in UTF-8, or has a line that is too long.
 */
export async function* textLines(file: Input): AsyncIterable<string> {
  let rest = '';
  for await (const chunk of decode(file as AsyncIterable<Buffer>)) {
    const [first = '', ...others] = chunk.split('\n');
    rest += first;
    for (const other of others) {
      yield rest;
      rest = other;
    }
    if (rest.length > maxLine)
      throw new Error(`the file has a line of more than ${maxLine} characters`);
  }
  if (rest !== '') yield rest;
}

function contentOf(record: unknown): Line['content'] {
  if (typeof record !== 'object' || record === null) return { problem: 'is no JSON object' };
  const parsed = schema.safeParse(record);
  if (!parsed.success) {
    // Never the values: one of them is a token.
    const problems = parsed.error.issues.map(({ path, message, code }) =>
      code === 'unrecognized_keys' ? 'has an unknown field' : `${path.join('.')} ${message}`,
    );
    return { problem: problems.join('; ') };
  }
  const { share_token: shareToken, workflow_id: workflowId, ...rest } = parsed.data;
  const { vendor_data: vendorData, trust_review: trustReview } = rest;
  const wanted = { shareToken, workflowId, vendorData, trustReview };
  if (Buffer.byteLength(shareToken + (vendorData ?? '')) > maxTexts) {
    return { problem: 'is too long for a request' };
  }
  // All that the import is about, so that a line that is changed is another import, and one that is there twice
  // is one.
  const name = JSON.stringify([shareToken, workflowId, vendorData ?? null, trustReview]);
  return { ...wanted, requestId: toId<RequestId>(v5(name, namespace)) };
}
