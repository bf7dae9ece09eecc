import { credentials, Metadata, type Client, type ServiceError } from '@grpc/grpc-js';
import {
  ImportSessionRequest,
  RevokeShareTokenRequest,
  SessionImportClient,
  SessionShareClient,
  ShareSessionRequest,
  type ImportSessionResponse,
  type ListShareTokensResponse,
  type RevokeShareTokenResponse,
  type ShareSessionResponse,
} from '../src/client';
import type { DemoApplication, DemoSession } from './playground';

type Answer<Response> = (error: ServiceError | null, response: Response) => void;

/** The service as the demo's two applications call it, by the generated clients. */
export class DemoClients {
  private readonly imports: SessionImportClient;
  private readonly shares: SessionShareClient;

  constructor(address: string) {
    this.imports = new SessionImportClient(address, credentials.createInsecure());
    this.shares = new SessionShareClient(address, credentials.createInsecure());
  }

  share(
    { sessionId }: DemoSession,
    by: DemoApplication,
    { applicationId: forApplicationId }: DemoApplication,
  ): Promise<ShareSessionResponse> {
    const request = ShareSessionRequest.fromPartial({ sessionId, forApplicationId });
    return asked((done) => this.shares.shareSession(request, keyOf(by), done));
  }

  import(
    shareToken: string,
    { kind, workflowId }: DemoSession,
    by: DemoApplication,
  ): Promise<ImportSessionResponse> {
    const request = ImportSessionRequest.fromPartial({
      shareToken,
      workflowId,
      vendorData: vendorDataOf(kind),
      trustReview: true,
    });
    return asked((done) => this.imports.importSession(request, keyOf(by), done));
  }

  revoke(shareTokenId: string, by: DemoApplication): Promise<RevokeShareTokenResponse> {
    const request = RevokeShareTokenRequest.fromPartial({
      target: { $case: 'shareTokenId', value: shareTokenId },
    });
    return asked((done) => this.shares.revokeShareToken(request, keyOf(by), done));
  }

  listShares({ sessionId }: DemoSession, by: DemoApplication): Promise<ListShareTokensResponse> {
    const request = { sessionId, pageSize: 0, pageToken: '' };
    return asked((done) => this.shares.listShareTokens(request, keyOf(by), done));
  }

  close(): void {
    const clients: readonly Client[] = [this.imports, this.shares];
    for (const client of clients) client.close();
  }
}

/** What the importing application calls the person or company of a demo session. */
export function vendorDataOf(kind: DemoSession['kind']): string {
  return `demo-${kind}-1`;
}

function keyOf({ apiKey }: DemoApplication): Metadata {
  const metadata = new Metadata();
  metadata.set('x-api-key', apiKey);
  return metadata;
}

function asked<Response>(ask: (done: Answer<Response>) => unknown): Promise<Response> {
  return new Promise((resolve, reject) => {
    ask((error, response) => {
      if (error) reject(error);
      else resolve(response);
    });
  });
}
