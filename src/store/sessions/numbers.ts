import { duplicateKey, nullColumn } from '../../db/errors';
import { kindSchemas, type KindSchema } from '../../model/relations';
import { highestSessionNumber } from '../../model/session';

const schemas = Object.values(kindSchemas);

/**
 * SQL for the highest session number that an application has in use; 0 if it has no sessions. Numbers above
 * {@link highestSessionNumber} are passed over: no counter has given them out.
 *
 * @param applicationId SQL for the application's id.
 */
export function highestNumberInUse(applicationId: string): string {
  // In the order of the key, so that one entry of it is read. MySQL does not do so for MAX() here.
  const ofKinds = schemas.map(
    ({ sessions }) =>
      `COALESCE((SELECT session_number FROM ${sessions}
                 WHERE application_id = ${applicationId} AND session_number <= ${highestSessionNumber}
                 ORDER BY session_number DESC LIMIT 1), 0)`,
  );
  return `GREATEST(${ofKinds.join(', ')})`;
}

/** The tables of sessions of other kinds. They share the numbers of an application, but no unique key. */
export function tablesOfOtherKinds(schema: KindSchema): readonly string[] {
  return schemas.map(({ sessions }) => sessions).filter((sessions) => sessions !== schema.sessions);
}

const numberKeys: ReadonlySet<string | undefined> = new Set(
  schemas.map(({ sessions }) => `${sessions}_application_id_session_number_unique`),
);

/**
 * Whether a new session was refused for its number: it is taken, or its counter has never given it out (then
 * the number is null: see `usableNumber` in ../session-numbers).
 */
export function isNumberRefused(error: unknown): boolean {
  return numberKeys.has(duplicateKey(error)) || nullColumn(error) === 'session_number';
}
