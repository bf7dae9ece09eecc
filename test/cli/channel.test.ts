import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { credentialsOf } from '../../src/cli/channel';
import { CertificateAuthority } from '../support/certificates';
import { serverNames } from '../support/tls';

describe('the options of a connection to the service', () => {
  let authority: CertificateAuthority;
  let folder: string;
  let cert: string;
  let key: string;
  let noCertificate: string;
  before(async () => {
    authority = await CertificateAuthority.create();
    ({ certificate: cert, privateKey: key } = await authority.issue('caller', [...serverNames]));
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-channel-'));
    noCertificate = path.join(folder, 'ca.pem');
    await writeFile(noCertificate, 'a secret, and no certificate\n');
  });
  after(async () => {
    await authority.remove();
    await rm(folder, { recursive: true });
  });

  it('are none, plain text, CAs, or a certificate with its key', () => {
    const cacert = authority.file;
    expect(credentialsOf({})._isSecure()).to.equal(true);
    expect(credentialsOf({ plaintext: true })._isSecure()).to.equal(false);
    expect(credentialsOf({ cacert })._isSecure()).to.equal(true);
    expect(credentialsOf({ cacert, cert, key })._isSecure()).to.equal(true);
  });

  it('may not contradict each other', () => {
    for (const more of [{ cacert: authority.file }, { cert }, { key }]) {
      expect(() => credentialsOf({ plaintext: true, ...more })).to.throw('leave out --cacert');
    }
    for (const half of [{ cert }, { key }]) {
      expect(() => credentialsOf(half)).to.throw('--cert and --key belong together');
    }
  });

  it('must name files with certificates, which errors do not quote', () => {
    for (const wrong of [{ cacert: noCertificate }, { cert: noCertificate, key }]) {
      const failing = (): unknown => credentialsOf(wrong);
      expect(failing).to.throw(`${noCertificate}: it is not a list of certificates in PEM`);
      expect(failing).not.to.throw('secret');
    }
    expect(() => credentialsOf({ cacert: folder })).to.throw(`${folder} is no file`);
  });
});
