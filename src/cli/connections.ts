import { Argument, Command, Option } from '@commander-js/extra-typings';
import { pagesOf } from '../db/cursor';
import { createRetry } from '../db/retry';
import { connectionStates, standingOf, type ConnectionRecord } from '../model/connection-record';
import { newId, type ApplicationId, type ConnectionId } from '../model/ids';
import { requireApplication } from '../store/accounts';
import { connectApplications } from '../store/connections/connect';
import { endConnection } from '../store/connections/end';
import { findConnection } from '../store/connections/find';
import { listAllConnections, listConnections } from '../store/connections/list';
import { idArgument } from './arguments';
import { commandWithTerms, termsOfOptions } from './connection-terms';
import { withMultiDatabase } from './database';
import { printFields, printPart, type Fields } from './output';

/** How many connections are read at a time. */
const pageSize = 500;

/** Other changes of the same connection may come first; then the change is made again. */
const retry = createRetry(() => undefined);

/** `connection create`, `connection list` and `connection end` */
export function connectionCommand() {
  return new Command('connection')
    .description('connections: what one application may share with another')
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(endCommand());
}

const clock = (): Date => new Date();

function createCommand() {
  return commandWithTerms('create')
    .description(
      'connect two applications for which you answer; it is active at once, and replaces the active connection in this direction',
    )
    .option('--json', 'print JSON')
    .action(async ({ source, recipient, json, ...options }) => {
      if (source === recipient)
        throw new Error('--source and --recipient must be two applications');
      const connection = {
        id: newId<ConnectionId>(),
        sourceApplicationId: source,
        recipientApplicationId: recipient,
        terms: termsOfOptions(options),
      };
      const made = await withMultiDatabase((db) =>
        retry(() => connectApplications(db, connection, clock)),
      );
      await printFields(fieldsOf(made), { json });
    });
}

function listCommand() {
  return new Command('list')
    .description('list connections and proposals, newest first')
    .option('--application <id>', 'only those of this application', idArgument<ApplicationId>)
    .addOption(new Option('--state <state>', 'only those in this state').choices(connectionStates))
    .option('--json', 'print JSON Lines')
    .action(async ({ application, state, json }) => {
      await withMultiDatabase(async (db) => {
        if (application !== undefined) await requireApplication(db, application);
        const filter = { state, side: undefined, otherApplicationId: undefined };
        const at = new Date();
        const pages = pagesOf(pageSize, (page) =>
          application === undefined
            ? listAllConnections(db, state, at, page)
            : listConnections(db, application, filter, at, page),
        );
        for await (const connections of pages) {
          for (const each of connections) await printPart(lineOf(each, json));
        }
      });
    });
}

function endCommand() {
  return new Command('end')
    .description('end a connection, or withdraw a proposal; it is final')
    .addArgument(
      new Argument('<id>', 'the id of the connection').argParser(idArgument<ConnectionId>),
    )
    .option('--json', 'print JSON')
    .action(async (id, { json }) => {
      const ended = await withMultiDatabase(async (db) => {
        if (!(await findConnection(db, id))) throw new Error(`there is no connection ${id}`);
        return retry(() => endConnection(db, id, { party: 'operator', actor: null, clock }));
      });
      await printFields(fieldsOf(ended), { json });
    });
}

/** A connection of a list: a line of JSON, or the words that people look for. */
function lineOf(connection: ConnectionRecord, json: true | undefined): string {
  const fields = fieldsOf(connection);
  if (json) return `${JSON.stringify(fields)}\n`;
  const {
    connection_id: id,
    source_application: source,
    recipient_application: recipient,
  } = fields;
  const { state, ending } = fields;
  const stands = ending === null || ending === state ? state : `${state} (${ending})`;
  return `${id}  ${source} -> ${recipient}  ${stands}\n`;
}

function fieldsOf(connection: ConnectionRecord) {
  const { terms } = connection;
  const { state, ending, endedAt } = standingOf(connection, new Date());
  return {
    connection_id: connection.id,
    source_application: connection.sourceApplicationId,
    recipient_application: connection.recipientApplicationId,
    state,
    session_kinds: terms.kinds,
    linked_sessions: terms.linkedSessions,
    trust_review: terms.trustReview,
    longest_ttl_seconds: terms.longestTtl,
    relations: terms.relations,
    grounds_required: terms.groundsRequired,
    agreement: terms.agreement,
    certified_until: terms.certifiedUntil?.toISOString() ?? null,
    proposed_by: connection.proposedBy,
    created_at: connection.createdAt.toISOString(),
    acceptable_until: state === 'proposed' ? (connection.expiresAt?.toISOString() ?? null) : null,
    accepted_at: connection.acceptedAt?.toISOString() ?? null,
    ended_at: endedAt?.toISOString() ?? null,
    ending,
    ended_by: connection.endedBy,
    replaced_by: connection.replacedBy,
    last_used_at: connection.usedAt?.toISOString() ?? null,
  } satisfies Fields;
}
