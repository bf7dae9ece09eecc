import { copyFile, writeFile } from 'node:fs/promises';
import { expect } from 'chai';
import { startMysql, type MysqlServer } from '../../scripts/mysql/server';
import { openDatabase } from '../../src/db/connection';
import type { DatabaseTls } from '../../src/db/tls';
import { CertificateAuthority, type Identity } from '../support/certificates';
import { run } from '../support/command';
import { quick } from '../support/mysql';

describe('TLS to MySQL', () => {
  let authority: CertificateAuthority;
  let stranger: CertificateAuthority;
  let identity: Identity;
  let mysql: MysqlServer;
  before(async function () {
    // The server is to show certificates of the tests.
    if (process.env['DATABASE_URL']) this.skip();
    authority = await CertificateAuthority.create();
    stranger = await CertificateAuthority.create();
    identity = await authority.issue('mysql', [{ type: 'dns', value: 'localhost' }]);
    mysql = await startMysql({
      mysqldArguments: [
        ...quick,
        `--ssl-ca=${authority.file}`,
        `--ssl-cert=${identity.certificate}`,
        `--ssl-key=${identity.privateKey}`,
        '--require-secure-transport=ON',
      ],
    });
  });
  after(async () => {
    if (process.env['DATABASE_URL']) return;
    await mysql.stop();
    await authority.remove();
    await stranger.remove();
  });

  const at = (host: string): string => mysql.url.replace('127.0.0.1', host);

  /** The cipher of a connection, or why there is none. */
  async function connect(url: string, tls: DatabaseTls): Promise<string> {
    const db = openDatabase({ url, tls, poolSize: 1, lockWaitSeconds: 1, readTimeoutSeconds: 5 });
    try {
      const [rows] = (await db.raw("SHOW STATUS LIKE 'Ssl_cipher'")) as [{ Value: string }[]];
      return rows[0]?.Value ?? '';
    } catch (error) {
      return (error as Error).message;
    } finally {
      await db.destroy();
    }
  }

  it('is refused by a server that wants it, if it is off', async () => {
    const answer = await connect(mysql.url, { mode: 'off', caFile: undefined });
    expect(answer).to.include('insecure transport are prohibited');
  });

  it('checks where the certificate comes from', async () => {
    const encrypted = await connect(mysql.url, { mode: 'verify-ca', caFile: authority.file });
    expect(encrypted).to.match(/^TLS_|^ECDHE/);
    for (const caFile of [stranger.file, undefined]) {
      const answer = await connect(mysql.url, { mode: 'verify-ca', caFile });
      expect(answer).to.match(/unable to verify|unable to get|self.signed/);
    }
  });

  it('takes no file without certificates, which would mean to trust everybody', async () => {
    const caFile = authority.path('empty.pem');
    await writeFile(caFile, '');
    expect(() =>
      openDatabase({
        url: mysql.url,
        tls: { mode: 'verify-ca', caFile },
        poolSize: 1,
        lockWaitSeconds: 1,
      }),
    ).to.throw("DATABASE_TLS_CA can't be used");
  });

  it('is what the program uses when it is told to', async () => {
    const environment = {
      DATABASE_URL: at('localhost'),
      DATABASE_TLS: 'verify-full',
      DATABASE_TLS_CA: authority.file,
    };
    // There is nothing to roll back, which takes less than to migrate.
    const migrate = await run(['migrate', '--rollback', '--json'], environment);
    expect(migrate.exitCode, migrate.errors).to.equal(0);
    const url = new URL(environment.DATABASE_URL);
    url.password = 'wrong';
    const denied = await run(['migrate'], { ...environment, DATABASE_URL: url.href });
    expect(denied.exitCode).to.equal(1);
    expect(denied.errors)
      .to.include('MySQL refused the user or the password')
      .and.not.include('DATABASE_TLS');
    const failed = await run(['migrate', '--json'], {
      ...environment,
      DATABASE_TLS_CA: stranger.file,
    });
    expect(failed.exitCode).to.equal(1);
    expect(failed.errors).to.match(/unable to verify|unable to get|self.signed/);
  });

  it('checks the name of the server too, if that is asked for', async () => {
    const full: DatabaseTls = { mode: 'verify-full', caFile: authority.file };
    expect(await connect(at('localhost'), full)).to.match(/^TLS_|^ECDHE/);

    const another = await authority.issue('another', [{ type: 'dns', value: 'db.internal' }]);
    await copyFile(another.certificate, identity.certificate);
    await copyFile(another.privateKey, identity.privateKey);
    const admin = openDatabase({
      url: mysql.url,
      tls: { mode: 'verify-ca', caFile: authority.file },
      poolSize: 1,
      lockWaitSeconds: 1,
    });
    await admin.raw('ALTER INSTANCE RELOAD TLS');
    await admin.destroy();
    expect(await connect(at('localhost'), full)).to.include(
      "does not match certificate's altnames",
    );
    const byChain: DatabaseTls = { mode: 'verify-ca', caFile: authority.file };
    expect(await connect(at('localhost'), byChain)).to.match(/^TLS_|^ECDHE/);
  });
});
