import { createHash } from 'node:crypto';
import { z } from 'zod';
import { invalidField } from './request';

/** The items of a page if the request does not say, and the most that it may have (AIP-158). */
const usualPageSize = 50;
const largestPageSize = 500;

/**
 * How many items a page is to have.
 *
 * @param field the request's field that says so.
 * @throws ServiceError with INVALID_REQUEST if it is negative.
 */
export function pageSizeOf(asked: number, field = 'page_size'): number {
  if (asked < 0) throw invalidField(field, 'must not be negative');
  return Math.min(asked === 0 ? usualPageSize : asked, largestPageSize);
}

/** Where a page begins, and how many items it has at most. */
export interface PageRequest<Cursor> {
  readonly size: number;
  /** Where the page before has ended; undefined: this is the first one. */
  readonly after: Cursor | undefined;
}

/** What a list request says of its page. */
interface AskedPage {
  readonly pageSize: number;
  readonly pageToken: string;
}

/**
 * The page tokens of one list: opaque to callers, and good only for the list, the application and the
 * filters that they were made for (AIP-158). They carry no right: what a page shows is decided anew.
 *
 * @param scope everything that the list depends on, but for the page: its RPC, caller and filters.
 * @param cursor where a page ends.
 */
export class Pages<Cursor> {
  private readonly digest: string;

  constructor(
    scope: readonly unknown[],
    private readonly cursor: z.ZodType<Cursor>,
  ) {
    const text = JSON.stringify(scope);
    this.digest = createHash('sha256').update(text).digest('base64url').slice(0, 16);
  }

  /**
   * Reads what a request says of its page.
   *
   * @throws ServiceError with INVALID_REQUEST if the size is negative, or the token of another list.
   */
  read({ pageSize, pageToken }: AskedPage): PageRequest<Cursor> {
    return {
      size: pageSizeOf(pageSize),
      after: pageToken === '' ? undefined : this.parse(pageToken),
    };
  }

  /** The token of the page that begins after the given place; empty if there is none. */
  tokenAfter(end: Cursor | undefined): string {
    if (end === undefined) return '';
    return Buffer.from(JSON.stringify([this.digest, end])).toString('base64url');
  }

  private parse(token: string): Cursor {
    const parsed = z
      .tuple([z.literal(this.digest), this.cursor])
      .safeParse(parseJson(Buffer.from(token, 'base64url').toString()));
    if (parsed.success) return parsed.data[1];
    throw invalidField(
      'page_token',
      'must be the next_page_token of an answer to the same request, and otherwise the request must stay as it was',
    );
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
