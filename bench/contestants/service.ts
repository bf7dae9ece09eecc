import { credentials, Metadata } from '@grpc/grpc-js';
import { importJWK, SignJWT } from 'jose';
import { SessionImportClient } from '../../src/gen/sessionimport/v1/session_import';
import type { Call } from '../driver';
import type { Import, World } from '../subjects';

/** How long a share token of the benchmark lives, in seconds. */
const lifetime = 3_600;

/** A client of the service, generated from the proto file. */
export class ServiceClient {
  private readonly client: SessionImportClient;

  constructor(address: string) {
    this.client = new SessionImportClient(address, credentials.createInsecure());
  }

  /** Signs a share token for each import; with a key that is read once, since there are thousands. */
  async prepare(world: World, imports: readonly Import[]): Promise<Call[]> {
    const { signingKey } = world;
    const key = await importJWK(signingKey);
    const header = { alg: signingKey.alg ?? '', kid: signingKey.kid ?? '', typ: 'JWT' };
    const now = Math.floor(Date.now() / 1000);
    return Promise.all(
      imports.map(async ({ kind, importing, source, vendorData, number }) => {
        const shareToken = await new SignJWT({
          session_id: source,
          session_kind: kind,
          from_application_id: world.source,
          for_application_id: importing.applicationId,
          jti: `bench ${number}`,
          iat: now,
          exp: now + lifetime,
        })
          .setProtectedHeader(header)
          .sign(key);
        const metadata = new Metadata();
        metadata.set('x-api-key', importing.apiKey);
        const workflowId = importing.workflows[kind];
        const request = { shareToken, workflowId, vendorData, trustReview: true };
        return () => this.call(request, metadata);
      }),
    );
  }

  close(): void {
    this.client.close();
  }

  private call(
    request: Parameters<SessionImportClient['importSession']>[0],
    metadata: Metadata,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      this.client.importSession(request, metadata, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }
}
