/**
 * The process of the victim: the application that must not notice the attacks. It makes each call when it is
 * due, whatever happened to those before, and reports how each one ended and how long it took.
 */
import { credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { errorDetails } from '../../src/client/error-details';
import {
  SessionImportClient,
  type ImportSessionRequest,
  type ImportSessionResponse,
} from '../../src/gen/sessionimport/v1/session_import';
import {
  GetSessionRequest,
  ListSessionRowsRequest,
  ListSessionsRequest,
  SessionReadClient,
} from '../../src/gen/sessionimport/v1/session_read';
import { SessionShareClient } from '../../src/gen/sessionimport/v1/session_share';
import {
  ListImportsRequest,
  SessionTraceClient,
} from '../../src/gen/sessionimport/v1/session_trace';
import { drive, type Call } from '../driver';
import {
  callKinds,
  eachKind,
  type Became,
  type CallKind,
  type PlannedCall,
  type VictimJob,
  type VictimReport,
} from './calls';

const warmUpCallers = 8;

let begin: (() => void) | undefined;

process.on('message', (message: VictimJob | 'begin') => {
  if (message === 'begin') {
    begin?.();
    return;
  }
  carryOut(message).then(
    (became) => {
      send({ type: 'done', became });
    },
    (error: unknown) => {
      send({ type: 'failed', error: error instanceof Error ? error.message : 'unknown' });
    },
  );
});
process.on('disconnect', () => process.exit());

async function carryOut(job: VictimJob): Promise<Record<CallKind, Became>> {
  const victim = new Victim(job);
  await drive(
    job.warmUp.map((planned) => async () => {
      const { failure } = await victim.make(planned);
      if (failure !== undefined) throw new Error(`the warm-up has failed: ${failure}`);
    }),
    { callers: warmUpCallers },
  );
  const told = new Promise<void>((resolve) => {
    begin = resolve;
  });
  send({ type: 'ready' });
  await told;
  const ends = eachKind((): End[] => []);
  const runs = await Promise.all(
    callKinds.map((kind) => {
      const calls = job.calls[kind].map((planned): Call => async () => {
        ends[kind].push(await victim.make(planned));
      });
      return drive(calls, { perSecond: job.perSecond[kind] });
    }),
  );
  return eachKind((kind) => ({
    latencies: runs[callKinds.indexOf(kind)]?.latencies ?? [],
    failures: ends[kind].flatMap(({ failure }) => failure ?? []),
    evidence: ends[kind].flatMap(({ evidence }) => evidence ?? []),
  }));
}

/** How a call ended. */
interface End {
  /** Why it failed, if it should have succeeded. */
  readonly failure?: string;
  /** What must be in the database now: the id of a copy, or of a share token. */
  readonly evidence?: string;
}

/** Makes calls like a client that does not retry. */
class Victim {
  private readonly imports: SessionImportClient;
  private readonly reads: SessionReadClient;
  private readonly shares: SessionShareClient;
  private readonly trace: SessionTraceClient;
  private readonly metadata = new Metadata();

  constructor(private readonly job: VictimJob) {
    const options = { 'grpc.enable_retries': 0 };
    const plain = credentials.createInsecure();
    this.imports = new SessionImportClient(job.address, plain, options);
    this.reads = new SessionReadClient(job.address, plain, options);
    this.shares = new SessionShareClient(job.address, plain, options);
    this.trace = new SessionTraceClient(job.address, plain, options);
    this.metadata.set('x-api-key', job.apiKey);
  }

  /** Makes a call. Never rejects. */
  async make(planned: PlannedCall): Promise<End> {
    switch (planned.kind) {
      case 'imports':
      case 'linked': {
        const { error, answer } = await this.import(planned.request);
        return error ? { failure: nameOf(error) } : { evidence: answer?.session?.sessionId ?? '' };
      }
      case 'refusals': {
        const { error } = await this.import(planned.request);
        const reason = error ? nameOf(error) : 'it was imported';
        if (reason !== 'SHARE_TOKEN_EXPIRED') return { failure: reason };
        return { evidence: planned.shareTokenId };
      }
      case 'revocations': {
        const error = await this.revoke(planned.shareTokenId);
        return error ? { failure: nameOf(error) } : { evidence: planned.shareTokenId };
      }
      case 'reads': {
        const error = await this.read(planned);
        return error ? { failure: nameOf(error) } : {};
      }
    }
  }

  private revoke(shareTokenId: string): Promise<ServiceError | null> {
    const request = { target: { $case: 'shareTokenId', value: shareTokenId } } as const;
    return new Promise((resolve) => {
      this.shares.revokeShareToken(request, this.metadata, this.options(), resolve);
    });
  }

  private import(request: ImportSessionRequest): Promise<{
    readonly error: ServiceError | null;
    readonly answer: ImportSessionResponse | undefined;
  }> {
    return new Promise((resolve) => {
      this.imports.importSession(request, this.metadata, this.options(), (error, answer) => {
        resolve({ error, answer });
      });
    });
  }

  private read(planned: PlannedCall & { kind: 'reads' }): Promise<ServiceError | null> {
    const { metadata } = this;
    const options = this.options();
    return new Promise((resolve) => {
      switch (planned.method) {
        case 'GetSession':
          this.reads.getSession(
            GetSessionRequest.create({ sessionId: planned.id }),
            metadata,
            options,
            resolve,
          );
          return;
        case 'ListSessionRows':
          this.reads.listSessionRows(
            ListSessionRowsRequest.create({ sessionId: planned.id, relation: 'logs' }),
            metadata,
            options,
            resolve,
          );
          return;
        case 'ListSessions':
          this.reads.listSessions(ListSessionsRequest.create({}), metadata, options, resolve);
          return;
        case 'ListImports':
          this.trace.listImports(ListImportsRequest.create({}), metadata, options, resolve);
      }
    });
  }

  private options(): { readonly deadline: number } {
    return { deadline: Date.now() + this.job.patience * 1_000 };
  }
}

/** The reason that the service gives, or else gRPC's own code. */
function nameOf(error: ServiceError): string {
  return errorDetails(error)?.reason ?? status[error.code];
}

function send(report: VictimReport): void {
  process.send?.(report);
}
