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

/**
 * SQL for the condition that no session of another kind has a number. Among those of its own kind, the unique
 * key of (application, number) holds it.
 *
 * @param applicationId SQL for the application's id.
 * @param number SQL for the number.
 */
export function freeInOtherKinds(
  schema: KindSchema,
  applicationId: string,
  number: string,
): string {
  return schemas
    .filter(({ sessions }) => sessions !== schema.sessions)
    .map(
      ({ sessions }) =>
        `NOT EXISTS (SELECT 1 FROM ${sessions} s
                     WHERE s.application_id = ${applicationId} AND s.session_number = ${number})`,
    )
    .join(' AND ');
}

const numberKeys: ReadonlySet<string | undefined> = new Set(
  schemas.map(({ sessions }) => `${sessions}_application_id_session_number_unique`),
);

/**
 * Whether a new session was refused for its number: it is taken, or its counter has never given it out (then
 * the number is null, by `usableNumber` of ../session-numbers).
 */
export function isNumberRefused(error: unknown): boolean {
  return numberKeys.has(duplicateKey(error)) || nullColumn(error) === 'session_number';
}
