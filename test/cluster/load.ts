import { credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import {
  errorDetails,
  serviceConfig,
  SessionImportClient,
  SessionShareClient,
  type ImportSessionResponse,
  type RevokeShareTokenResponse,
  type ShareSessionResponse,
} from '../../src/client';
import { newId, type ApplicationId, type SessionId } from '../../src/model/ids';
import { must } from '../../src/model/must';
import type { SessionKind } from '../../src/model/session';
import { sessionOf } from '../support/client';
import type { Signer, Tenant } from '../support/fixtures';
import { pause } from '../support/helpers';
import { Signal } from '../support/signal';

/** A session that can be imported. */
export interface Source {
  readonly kind: SessionKind;
  readonly applicationId: ApplicationId;
  readonly apiKey: string;
  readonly sessionId: SessionId;
}

/** An import that is to be made: a pair that nobody else imports, under its own idempotency key. */
export interface Order {
  readonly source: Source;
  readonly tenant: Tenant;
  readonly request: {
    readonly shareToken: string;
    readonly workflowId: string;
    readonly requestId: string;
    readonly trustReview: boolean;
  };
}

/** An import that was acknowledged. */
export interface Acknowledged {
  readonly order: Order;
  readonly sessionId: string;
}

/** Callers of both service processes, who do what the docs tell them: the shipped retry policy. */
export class Callers {
  readonly imports: SessionImportClient;
  readonly shares: SessionShareClient;

  constructor(ports: readonly number[]) {
    const address = `ipv4:${ports.map((port) => `127.0.0.1:${port}`).join()}`;
    const options = { 'grpc.service_config': serviceConfig };
    this.imports = new SessionImportClient(address, credentials.createInsecure(), options);
    this.shares = new SessionShareClient(address, credentials.createInsecure(), options);
  }

  /** Imports: gRPC itself tries again, for at most `patience` milliseconds. */
  import({ tenant, request }: Order, patience?: number): Promise<ImportSessionResponse> {
    return promised((done) =>
      this.imports.importSession(
        request,
        keyOf(tenant.apiKey),
        patience === undefined ? {} : { deadline: Date.now() + patience },
        done,
      ),
    );
  }

  /** Has the source application share the session again. Returns the same order with the new token. */
  async share(order: Order): Promise<{ readonly order: Order; readonly shareTokenId: string }> {
    const { source, tenant, request } = order;
    const { shareToken, details } = await promised<ShareSessionResponse>((done) =>
      this.shares.shareSession(
        { sessionId: source.sessionId, forApplicationId: tenant.applicationId },
        keyOf(source.apiKey),
        done,
      ),
    );
    return {
      order: { ...order, request: { ...request, shareToken, requestId: newId() } },
      shareTokenId: must(details, 'the details of a share token').shareTokenId,
    };
  }

  /** Revokes one token of a source application. */
  revoke({ source }: Order, shareTokenId: string): Promise<RevokeShareTokenResponse> {
    return promised((done) =>
      this.shares.revokeShareToken(
        { target: { $case: 'shareTokenId', value: shareTokenId } },
        keyOf(source.apiKey),
        done,
      ),
    );
  }

  close(): void {
    this.imports.close();
    this.shares.close();
  }
}

/** The metadata with an API key. */
function keyOf(apiKey: string): Metadata {
  const metadata = new Metadata();
  metadata.set('x-api-key', apiKey);
  return metadata;
}

/** A promise for the answer of a call. */
function promised<Answer>(
  call: (done: (error: ServiceError | null, answer: Answer) => void) => unknown,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    call((error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
  });
}

/** An order for each pair of a session and an application; neighbours are of different sessions. */
export async function ordersFor(
  sources: readonly Source[],
  tenants: readonly Tenant[],
  signer: Signer,
): Promise<Order[]> {
  const orders: Order[] = [];
  for (const tenant of tenants) {
    for (const source of sources) {
      const { kind, applicationId, sessionId } = source;
      const shareToken = await signer.share({ ...tenant, applicationId }, tenant, kind, sessionId);
      const workflowId = tenant.workflows[kind];
      const request = { shareToken, workflowId, requestId: newId(), trustReview: true };
      orders.push({ source, tenant, request });
    }
  }
  return orders;
}

const callers = 6;
const restMs = 60;

/** Imports all the time, until it is stopped. */
export class Load {
  readonly acknowledged: Acknowledged[] = [];
  /** How calls ended that did not succeed: the reason, or gRPC's code. */
  readonly errors: string[] = [];
  private readonly progress = new Signal();
  private readonly work: Promise<unknown>;
  private last = Date.now();
  private longest = 0;
  private stopping = false;

  constructor(
    private readonly clients: Callers,
    private readonly orders: Order[],
  ) {
    this.work = Promise.all(Array.from({ length: callers }, () => this.callAgainAndAgain()));
  }

  /** Waits until some more are acknowledged. */
  async goesOn(more = 40): Promise<void> {
    const enough = this.acknowledged.length + more;
    await this.progress.until(() => this.acknowledged.length >= enough);
  }

  /** Begins to measure `silence` anew. */
  watch(): void {
    this.last = Date.now();
    this.longest = 0;
  }

  /** The longest time without an acknowledgement since `watch`, in milliseconds. */
  get silence(): number {
    return Math.max(this.longest, Date.now() - this.last);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    await this.work;
  }

  private async callAgainAndAgain(): Promise<void> {
    for (let order = this.orders.shift(); order && !this.stopping; order = this.orders.shift()) {
      try {
        const answer = await this.clients.import(order);
        this.acknowledged.push({ order, sessionId: sessionOf(answer).sessionId });
        this.longest = Math.max(this.longest, Date.now() - this.last);
        this.last = Date.now();
      } catch (error) {
        this.errors.push(nameOf(error));
      }
      this.progress.fire();
      await pause(restMs);
    }
    if (!this.stopping) throw new Error('the load has run out of sessions to import');
  }
}

/** The service's reason for an error, or else gRPC's code. */
export function nameOf(error: unknown): string {
  return errorDetails(error)?.reason ?? status[(error as ServiceError).code];
}
