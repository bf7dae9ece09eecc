import { Argument, Command } from '@commander-js/extra-typings';
import type { MultiDatabase } from '../db/database';
import { databaseNow } from '../db/clock';
import { read } from '../db/query';
import type { SessionId } from '../model/ids';
import { ServiceError } from '../model/problems';
import type { Retention } from '../model/retention';
import { maxReference } from '../model/grounds';
import type { SessionKind } from '../model/session';
import { eraseSessionById, type Erasure } from '../store/erasures';
import { setRetention } from '../store/retention';
import { sessionById } from '../store/sessions/find';
import { codeArgument, idArgument, momentArgument } from './arguments';
import { withMultiDatabase } from './database';
import { printFields } from './output';

/** `session erase` and `session retention` */
export function sessionCommand() {
  return new Command('session')
    .description('sessions of any application: erase one, or say how long it is kept')
    .addCommand(eraseCommand())
    .addCommand(retentionCommand());
}

function sessionArgument() {
  return new Argument('<id>', 'the id of the session').argParser(idArgument<SessionId>);
}

function eraseCommand() {
  return new Command('erase')
    .description('erase a session at once; prune deletes its data. It can not be taken back')
    .addArgument(sessionArgument())
    .option('--json', 'print JSON')
    .action(async (id, { json }) => {
      const { applicationId, kind, erasedAt } = await withMultiDatabase((db) => erase(db, id));
      await printFields(
        {
          session_id: id,
          application_id: applicationId,
          session_kind: kind,
          erased_at: erasedAt.toISOString(),
        },
        { json },
      );
    });
}

async function erase(db: MultiDatabase, sessionId: SessionId): Promise<Erasure> {
  const by = { owner: undefined, cause: 'operator', actor: null, clock: databaseNow } as const;
  return (
    (await eraseSessionById(db, { sessionId, ...by }).catch(explainHold)) ?? missing(sessionId)
  );
}

function explainHold(error: unknown): never {
  if (!(error instanceof ServiceError) || error.problem.reason !== 'SESSION_ON_HOLD') throw error;
  const { until } = error.problem;
  throw new Error(
    `the session is on hold${until ? ` until ${until.toISOString()}` : ''}: end the hold with session retention`,
  );
}

function retentionCommand() {
  return new Command('retention')
    .description('say how long a session is kept, in place of what was said before')
    .addArgument(sessionArgument())
    .option('--erase-after <time>', 'when prune erases it (default: never)', momentArgument)
    .option('--hold', 'nobody can erase it (default: no hold)')
    .option('--hold-until <time>', 'when the hold ends by itself', momentArgument)
    .option(
      '--reference <code>',
      'where the reason of the hold is kept: a code',
      codeArgument(maxReference),
    )
    .option('--json', 'print JSON')
    .action(async (id, { eraseAfter = null, hold, holdUntil, reference, json }) => {
      if (!hold && (holdUntil ?? reference) !== undefined) {
        throw new Error('--hold-until and --reference are for --hold');
      }
      const retention: Retention = {
        eraseAfter,
        hold: hold ? { until: holdUntil ?? null, reference: reference ?? null } : null,
      };
      await withMultiDatabase(async (db) => {
        const clock = async (trx: MultiDatabase): Promise<Date> => {
          const now = await databaseNow(trx);
          if ([eraseAfter, holdUntil].some((time) => time && time <= now)) {
            throw new Error('--erase-after and --hold-until must be in the future');
          }
          return now;
        };
        await clock(db);
        const kind = await kindOf(db, id);
        const by = { owner: undefined, actor: null, clock };
        const set = { sessionId: id, kind, retention, ...by };
        if (!(await setRetention(db, set))) missing(id);
      });
      await printFields(
        {
          session_id: id,
          erase_after: eraseAfter?.toISOString() ?? null,
          hold: hold ?? false,
          hold_until: holdUntil?.toISOString() ?? null,
          reference: reference ?? null,
        },
        { json },
      );
    });
}

async function kindOf(db: MultiDatabase, id: SessionId): Promise<SessionKind> {
  const session = await read(db, sessionById(id, undefined));
  return session?.kind ?? missing(id);
}

function missing(id: SessionId): never {
  throw new Error(`there is no session ${id}`);
}
