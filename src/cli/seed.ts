import { Command } from '@commander-js/extra-typings';
import { seedDemo } from '../demo';
import { withDatabase } from './database';
import { printFields } from './output';

/** `seed`: two applications and two rich sessions to try the service with. */
export function seedCommand() {
  return new Command('seed')
    .description('add demo data: two applications, and a session of each kind to import')
    .option('--json', 'print JSON')
    .action(async ({ json }) => {
      const { source, importing } = await withDatabase(seedDemo);
      await printFields(
        {
          source_application_id: source.applicationId,
          source_application: source.name,
          source_api_key: source.apiKey,
          user_session_id: source.userSessionId,
          business_session_id: source.businessSessionId,
          importing_application_id: importing.applicationId,
          importing_application: importing.name,
          api_key: importing.apiKey,
          user_workflow_id: importing.userWorkflowId,
          business_workflow_id: importing.businessWorkflowId,
        },
        { json },
      );
    });
}
