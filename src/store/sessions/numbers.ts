import { kindSchemas } from '../../model/relations';

/**
 * SQL for the highest session number that an application has in use; 0 if it has no sessions.
 *
 * @param applicationId SQL for the application's id.
 */
export function highestSessionNumber(applicationId: string): string {
  const ofKinds = Object.values(kindSchemas).map(
    ({ sessions }) =>
      `COALESCE((SELECT MAX(session_number) FROM ${sessions} WHERE application_id = ${applicationId}), 0)`,
  );
  return `GREATEST(${ofKinds.join(', ')})`;
}
