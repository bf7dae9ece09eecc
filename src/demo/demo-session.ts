import type { SessionKind } from '../model/session';

/** What a JSON column may hold. */
type Json = string | number | boolean | null | readonly Json[] | JsonObject;
interface JsonObject {
  readonly [name: string]: Json;
}

/** Columns with their values. A list or an object is for a JSON column. */
export type Row = Readonly<Record<string, Json | Date | Buffer>>;

/** Rows by relation, parents before children; a relation is called what it is called on the wire. */
export type Relations = Readonly<Record<string, readonly Row[]>>;

/**
 * A session of the demo: all that does not depend on the application it is put into.
 *
 * Its story plays at a fixed time, so that the dates on documents, the ages and the order of events
 * agree with each other whenever the demo is seeded.
 */
export interface DemoSession {
  readonly kind: SessionKind;
  /** The source application's name for the person or company. */
  readonly vendorData: string;
  readonly workflowVersion: number;
  readonly startedAt: Date;
  readonly finishedAt: Date;
  /** The session's own columns, less those that name its application and its place in it. */
  readonly columns: Row;
  readonly relations: Relations;
}

/** A clock for one day of a story: makes moments of times such as `09:14:02`, in UTC. */
export function clockOf(day: string): (time: string) => Date {
  return (time) => new Date(`${day}T${time}Z`);
}
