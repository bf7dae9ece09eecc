// What @peculiar/x509 is put together with.
import 'reflect-metadata';
import { randomUUID, webcrypto } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  PemConverter,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type JsonGeneralNames,
  type X509Certificate,
} from '@peculiar/x509';

cryptoProvider.set(webcrypto as never);

type CryptoKeyPair = webcrypto.CryptoKeyPair;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

const day = 24 * 60 * 60 * 1_000;

/** A certificate and its private key, as PEM files. */
export interface Identity {
  readonly certificate: string;
  readonly privateKey: string;
}

/** An authority of the tests, with a folder for what it issues. */
export class CertificateAuthority {
  private serial = 1;

  private constructor(
    private readonly folder: string,
    private readonly keys: CryptoKeyPair,
    private readonly own: X509Certificate,
    /** The PEM file with its certificate. */
    readonly file: string,
  ) {}

  static async create(): Promise<CertificateAuthority> {
    const folder = await mkdtemp(path.join(tmpdir(), 'session-import-ca-'));
    const keys = await newKeys();
    const own = await X509CertificateGenerator.createSelfSigned({
      name: `CN=An authority of the tests ${randomUUID()}`,
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + day),
      keys,
      signingAlgorithm: algorithm,
      extensions: [new BasicConstraintsExtension(true, undefined, true)],
    });
    const file = path.join(folder, 'ca.pem');
    await writeFile(file, own.toString('pem'));
    return new CertificateAuthority(folder, keys, own, file);
  }

  /** Issues a certificate for some names, and writes it and its key to files of the given name. */
  async issue(file: string, names: JsonGeneralNames, lifetime: number = day): Promise<Identity> {
    const keys = await newKeys();
    const certificate = await X509CertificateGenerator.create({
      serialNumber: (this.serial++).toString(16).padStart(2, '0'),
      subject: 'CN=Somebody of the tests',
      issuer: this.own.subject,
      notBefore: new Date(Date.now() - day),
      notAfter: new Date(Date.now() + lifetime),
      publicKey: keys.publicKey,
      signingKey: this.keys.privateKey,
      signingAlgorithm: algorithm,
      extensions: [new SubjectAlternativeNameExtension(names)],
    });
    const identity = {
      certificate: path.join(this.folder, `${file}.pem`),
      privateKey: path.join(this.folder, `${file}.key`),
    };
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    await writeFile(identity.privateKey, PemConverter.encode(key, 'PRIVATE KEY'));
    await writeFile(identity.certificate, certificate.toString('pem'));
    return identity;
  }

  /** The path of a file in its folder. */
  path(file: string): string {
    return path.join(this.folder, file);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

async function newKeys(): Promise<CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
}
