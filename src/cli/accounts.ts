import { Argument, Command, Option } from '@commander-js/extra-typings';
import {
  createApiKey,
  createApplication,
  createWorkflow,
  revokeApiKey,
  updateWorkflow,
} from '../store/accounts';
import { noRules } from '../model/acceptance';
import { privileges, type Privilege } from '../model/privileges';
import type { ApiKeyId, ApplicationId, WorkflowId } from '../model/ids';
import { sessionKinds } from '../model/session';
import { acceptanceArgument, acceptanceHelp, wordsOf } from './acceptance';
import { idArgument, nameArgument, wholeNumberArgument } from './arguments';
import { withDatabase } from './database';
import { printFields } from './output';

const millisecondsPerDay = 24 * 60 * 60 * 1000;

/** `application create` */
export function applicationCommand() {
  return new Command('application')
    .description('applications: the tenants of the platform')
    .addCommand(
      new Command('create')
        .description('register an application')
        .requiredOption('--name <name>', 'what people call it', nameArgument)
        .option('--json', 'print JSON')
        .action(async ({ name, json }) => {
          const id = await withDatabase((db) => createApplication(db, name));
          await printFields({ application_id: id, name }, { json });
        }),
    );
}

/** `workflow create` and `workflow update` */
export function workflowCommand() {
  return new Command('workflow')
    .description('workflows: what sessions are filed under')
    .addCommand(createWorkflowCommand())
    .addCommand(updateWorkflowCommand());
}

function createWorkflowCommand() {
  return new Command('create')
    .description('register a workflow of an application')
    .requiredOption('--application <id>', 'the application', idArgument<ApplicationId>)
    .addOption(
      new Option('--kind <kind>', 'the kind of its sessions')
        .choices(sessionKinds)
        .makeOptionMandatory(),
    )
    .requiredOption('--name <name>', 'what people call it', nameArgument)
    .option('--acceptance <rules>', 'which sessions it takes', acceptanceArgument)
    .addHelpText('after', acceptanceHelp)
    .option('--json', 'print JSON')
    .action(async ({ application, kind, name, acceptance = noRules, json }) => {
      const id = await withDatabase((db) =>
        createWorkflow(db, { applicationId: application, kind, name, acceptance }),
      );
      await printFields(
        {
          ...{ workflow_id: id, application_id: application, kind, name },
          acceptance: wordsOf(acceptance),
        },
        { json },
      );
    });
}

function updateWorkflowCommand() {
  return new Command('update')
    .description('change which sessions a workflow takes, for imports that begin afterwards')
    .addArgument(new Argument('<id>', 'the id of the workflow').argParser(idArgument<WorkflowId>))
    .requiredOption(
      '--acceptance <rules>',
      'which sessions it takes; replaces the rules that it had',
      acceptanceArgument,
    )
    .addHelpText('after', acceptanceHelp)
    .option('--json', 'print JSON')
    .action(async (id, { acceptance, json }) => {
      await withDatabase((db) => updateWorkflow(db, id, acceptance));
      await printFields({ workflow_id: id, acceptance: wordsOf(acceptance) }, { json });
    });
}

/** `api-key create` and `api-key revoke` */
export function apiKeyCommand() {
  return new Command('api-key')
    .description('API keys: how callers identify themselves')
    .addCommand(createApiKeyCommand())
    .addCommand(revokeApiKeyCommand());
}

function createApiKeyCommand() {
  return new Command('create')
    .description('make an API key; it is shown once and can not be shown again')
    .requiredOption(
      '--application <id>',
      'the application it belongs to',
      idArgument<ApplicationId>,
    )
    .option('--name <name>', 'what people call it', nameArgument, 'unnamed')
    .addOption(
      new Option('--privilege <privilege...>', 'what it allows')
        .choices(privileges)
        // The least privilege: any other must be asked for.
        .default(['write:sessions'] as Privilege[]),
    )
    .option(
      '--days <days>',
      'how long it is valid (default: for ever)',
      wholeNumberArgument(1, 3650),
    )
    .option('--json', 'print JSON')
    .action(async ({ application, name, privilege, days, json }) => {
      const expiresAt =
        days === undefined ? null : new Date(Date.now() + days * millisecondsPerDay);
      const { id, apiKey } = await withDatabase((db) =>
        createApiKey(db, { applicationId: application, name, privileges: privilege, expiresAt }),
      );
      await printFields(
        {
          api_key_id: id,
          api_key: apiKey,
          application_id: application,
          name,
          privileges: privilege,
          expires_at: expiresAt?.toISOString() ?? null,
        },
        { json },
      );
    });
}

function revokeApiKeyCommand() {
  return new Command('revoke')
    .description('revoke an API key; running services notice within seconds')
    .addArgument(new Argument('<id>', 'the id of the key').argParser(idArgument<ApiKeyId>))
    .option('--json', 'print JSON')
    .action(async (id, { json }) => {
      if (!(await withDatabase((db) => revokeApiKey(db, id)))) {
        throw new Error(`there is no API key ${id}, or it was revoked before`);
      }
      await printFields({ api_key_id: id, revoked: true }, { json });
    });
}
