import { createPrivateKey } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { experimental, type ServerCredentials } from '@grpc/grpc-js';
import type { TlsConfig } from '../../config';
import { LastGood } from '../../files/last-good';
import { certificatesIn } from '../../files/pem';
import { readRegularFile } from '../../files/regular-file';
import type { Logger } from '../../telemetry/log';

type IdentityListener = experimental.IdentityCertificateUpdateListener;
type CaListener = experimental.CaCertificateUpdateListener;

/** How often the files are read, in milliseconds. */
const interval = 1_000;

/**
 * How long a TLS ticket may stand for the client's certificate, in milliseconds. A resumed
 * connection does not check whether that certificate has expired. A server forgets its tickets when
 * it is given its certificates again.
 */
const ticketTtl = 60_000;

/** What is in the files. */
interface Contents {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  readonly clientCa: Buffer | undefined;
}

/** The contents of the files, checked to fit together. */
interface Certificates extends Contents {
  readonly expiry: Date;
}

/**
 * The certificates that the gRPC server shows and trusts, kept up to date: their files are read again
 * at intervals, and new connections get what was read last. Files that do not fit together, or that are
 * just being replaced, change nothing: the last good ones stay.
 */
export class CertificateFiles implements experimental.CertificateProvider {
  private readonly contents: LastGood<Certificates>;
  private readonly identityListeners = new Set<IdentityListener>();
  private readonly caListeners = new Set<CaListener>();
  private notifiedAt = performance.now();

  private constructor(
    private readonly files: TlsConfig,
    log: Logger,
    first: Certificates,
  ) {
    this.contents = new LastGood(
      first,
      {
        load: async (current) => {
          const found = await read(files);
          return same(found, current) ? current : check(found);
        },
        interval,
        loaded: ({ expiry }, changed) => {
          if (changed || performance.now() - this.notifiedAt >= ticketTtl) this.notifyAll();
          if (changed) log.info({ expires: expiry }, 'the certificates for gRPC have changed');
        },
        complaint: 'could not read the certificates for gRPC; the old ones stay in use',
      },
      log,
    );
  }

  /**
   * Reads the files for the first time.
   *
   * @throws Error if one of them can't be used; it says which and why.
   */
  static async open(files: TlsConfig, log: Logger): Promise<CertificateFiles> {
    try {
      return new CertificateFiles(files, log, check(await read(files)));
    } catch (error) {
      const why = (error as Error).message;
      throw new Error(`the certificates for gRPC can't be used: ${why}`, { cause: error });
    }
  }

  /** What a gRPC server listens with. */
  credentials(): ServerCredentials {
    const { clientCa, clientCertificate } = this.files;
    // The first parameter is the server's own identity, although grpc-js names it differently.
    // Without the second, the server does not ask clients for certificates.
    return experimental.createCertificateProviderServerCredentials(
      this,
      clientCa === undefined ? null : this,
      clientCa !== undefined && clientCertificate === 'required',
    );
  }

  /** When the server's own certificate expires. */
  get expiry(): Date {
    return this.contents.current.expiry;
  }

  close(): void {
    this.contents.close();
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.identityListeners.add(listener);
    // Not at once: the server is still adding its listeners.
    process.nextTick(listener, this.contents.current);
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.identityListeners.delete(listener);
  }

  addCaCertificateListener(listener: CaListener): void {
    this.caListeners.add(listener);
    process.nextTick(() => {
      this.tellCa(listener);
    });
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.caListeners.delete(listener);
  }

  private tellCa(listener: CaListener): void {
    const { clientCa } = this.contents.current;
    if (clientCa) listener({ caCertificate: clientCa });
  }

  private notifyAll(): void {
    this.notifiedAt = performance.now();
    for (const listener of this.caListeners) this.tellCa(listener);
    for (const listener of this.identityListeners) listener(this.contents.current);
  }
}

async function read(files: TlsConfig): Promise<Contents> {
  return {
    certificate: await readRegularFile(files.certificate),
    privateKey: await readRegularFile(files.privateKey),
    clientCa: files.clientCa === undefined ? undefined : await readRegularFile(files.clientCa),
  };
}

/** @throws Error if a file holds something else than it should, or does not fit the others. */
function check({ certificate, privateKey, clientCa }: Contents): Certificates {
  const [own] = parse('GRPC_TLS_CERT', () => certificatesIn(certificate.toString()));
  const key = parse('GRPC_TLS_KEY', () => createPrivateKey(privateKey));
  if (!own.checkPrivateKey(key)) throw new Error('GRPC_TLS_KEY is not the key of GRPC_TLS_CERT');
  if (clientCa) parse('GRPC_TLS_CLIENT_CA', () => certificatesIn(clientCa.toString()));
  // The server will do the same with them: if it fails, it fails here.
  createSecureContext({ cert: certificate, key: privateKey, ca: clientCa });
  return { certificate, privateKey, clientCa, expiry: new Date(own.validTo) };
}

function parse<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch {
    // Not the parser's own message: the file may be a key.
    throw new Error(`${name} is not what it must be, in PEM`);
  }
}

function same(a: Contents, b: Contents): boolean {
  return (
    a.certificate.equals(b.certificate) &&
    a.privateKey.equals(b.privateKey) &&
    (a.clientCa === b.clientCa || Boolean(b.clientCa && a.clientCa?.equals(b.clientCa)))
  );
}
