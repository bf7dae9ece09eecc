import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Cursor, Keyset, WantedPage } from '../../db/cursor';
import { isUuid } from '../../model/ids';
import { jsonOf } from '../../model/json';
import { invalidField } from './request';

/** The default and the largest number of items of a page (AIP-158). */
const defaultPageSize = 50;
const maxPageSize = 500;

/**
 * How many items a page is to have.
 *
 * @param field the request's field that says so.
 * @throws ServiceError with INVALID_REQUEST if it is negative.
 */
export function pageSizeOf(asked: number, field = 'page_size'): number {
  if (asked < 0) throw invalidField(field, 'must not be negative');
  return Math.min(asked === 0 ? defaultPageSize : asked, maxPageSize);
}

/** What a list request says of its page. */
interface AskedPage {
  readonly pageSize: number;
  readonly pageToken: string;
}

/** The values that a cursor may have, by the type of the column. */
const values = {
  // MySQL has no year 0, and a DATETIME has no time zone (MySQL 8.4 manual, section 13.2.2).
  moment: z.iso
    .datetime({ precision: 6, local: true })
    .refine((at) => !at.startsWith('0000') && !at.endsWith('Z')),
  id: z.string().refine(isUuid),
  ordinal: z.number().int(),
};

/**
 * The page tokens of one list. They are opaque to callers, and valid only for the list, the
 * application and the filters that they were made for (AIP-158). They give no access: every page
 * checks access again.
 */
export class PageTokens {
  private readonly digest: string;

  /**
   * @param scope everything that the list depends on, but for the page: its RPC, caller and filters.
   * @param keyset the order of the list: a token holds a cursor of it.
   */
  constructor(
    scope: readonly unknown[],
    private readonly keyset: Keyset,
  ) {
    const text = JSON.stringify(scope);
    this.digest = createHash('sha256').update(text).digest('base64url').slice(0, 16);
  }

  /**
   * Reads what a request says of its page.
   *
   * @throws ServiceError with INVALID_REQUEST if the size is negative, or if the token is not one
   * of this list.
   */
  read({ pageSize, pageToken }: AskedPage): WantedPage {
    return {
      size: pageSizeOf(pageSize),
      after: pageToken === '' ? undefined : this.parse(pageToken),
    };
  }

  /** The token of the page that begins after the given place; empty if there is none. */
  after(end: Cursor | undefined): string {
    if (end === undefined) return '';
    return Buffer.from(JSON.stringify([this.digest, end])).toString('base64url');
  }

  private parse(token: string): Cursor {
    const columns = this.keyset.columns.map(
      ({ type }) => values[type] as z.ZodType<string | number>,
    );
    const parsed = z
      .tuple([z.literal(this.digest), z.tuple(columns as [z.ZodType<string | number>])])
      .safeParse(jsonOf(Buffer.from(token, 'base64url').toString()));
    if (parsed.success) return parsed.data[1];
    throw invalidField(
      'page_token',
      'must be the next_page_token of an answer to the same request, and otherwise the request must stay as it was',
    );
  }
}
