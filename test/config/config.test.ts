import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { ConfigError, readConfig, readDatabaseAddress, variables } from '../../src/config';

describe('the configuration', () => {
  let folder: string;
  let file: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-config-'));
    file = path.join(folder, 'secret');
    await writeFile(file, 'mysql://service:s3cret@db.internal:3306/session_import\n');
  });
  after(() => rm(folder, { recursive: true }));

  const least = {
    DATABASE_URL: 'mysql://service:s3cret@db.internal:3306/session_import',
    SHARE_TOKEN_JWKS: 'jwks.json',
    SESSION_BASE_URL: 'https://verify.example.com/session',
  };

  /** The mistakes that a configuration is refused for, one a line. */
  function mistakes(environment: Record<string, string>): string[] {
    try {
      readConfig(environment);
    } catch (error) {
      if (error instanceof ConfigError) return error.message.split('\n  ').slice(1);
    }
    return [];
  }

  it('needs three variables, and has a default for each of the others', () => {
    expect(mistakes({}).map((line) => line.split(' ')[0])).to.deep.equal(Object.keys(least));
    const config = readConfig(least);
    expect(config).to.deep.include({
      rateLimit: undefined,
      metricsAddress: '127.0.0.1:9464',
      log: { level: 'info', format: 'auto' },
    });
    expect(config.grpc).to.include({ address: '127.0.0.1:50051', tls: undefined });
    expect(config.database).to.deep.include({ tls: { mode: 'off', caFile: undefined } });
  });

  it('is refused with every mistake at once, also those between variables, and without any value', () => {
    const found = mistakes({
      ...least,
      DATABASE_URL: 'mysql://service:s3cret@10.0.0.7:3306/session_import',
      DATABASE_TLS: 'verify-full',
      DATABASE_SILENCE: '3',
      GRPC_ADDRESS: '0.0.0.0:50051',
      GRPC_TLS_KEY: file,
      TRUSTED_GATEWAYS: 'URI:spiffe://bank/gateway',
      RATE_LIMIT: 'many',
      GRPC_TLS_CLIENT_CA: path.join(folder, 'nothing'),
      METRICS_ADDRESS: 'nowhere',
      LOG_FORMAT: 'xml',
    });
    expect(found.map((line) => line.split(/[ =]/)[0])).to.have.members([
      'GRPC_TLS_CLIENT_CA',
      'RATE_LIMIT',
      'METRICS_ADDRESS',
      'LOG_FORMAT',
      'DATABASE_TLS',
      'DATABASE_SILENCE',
      'GRPC_ADDRESS',
      'GRPC_TLS_CERT',
    ]);
    expect(found.join()).not.to.include('s3cret').and.not.include('nowhere');
  });

  it('says that a gateway needs certificates of clients, and these a certificate of the service', () => {
    expect(mistakes({ ...least, TRUSTED_GATEWAYS: 'DNS:gateway.internal' })).to.deep.equal([
      'TRUSTED_GATEWAYS needs GRPC_TLS_CLIENT_CA: a gateway shows who it is by its certificate.',
    ]);
    expect(mistakes({ ...least, GRPC_TLS_CLIENT_CA: file })).to.deep.equal([
      'GRPC_TLS_CLIENT_CA has no effect without GRPC_TLS_CERT.',
    ]);
    const [mistake] = mistakes({ ...least, TRUSTED_GATEWAYS: 'gateway.internal' });
    expect(mistake).to.include('must list whole names like URI:… or DNS:…');
  });

  it('says what has no effect, or less than it seems to', () => {
    expect(mistakes({ ...least, GRPC_TLS_CLIENT_AUTH: 'required' })).to.deep.equal([
      'GRPC_TLS_CLIENT_AUTH has no effect without GRPC_TLS_CLIENT_CA.',
    ]);
    expect(mistakes({ ...least, DATABASE_TLS_CA: file })).to.deep.equal([
      'DATABASE_TLS_CA has no effect: set DATABASE_TLS as well.',
    ]);
    expect(mistakes({ ...least, DATABASE_TLS: 'verify-ca' })[0]).to.include(
      'needs DATABASE_TLS_CA',
    );
    const withOptions = `${least.DATABASE_URL}?multipleStatements=true`;
    expect(mistakes({ ...least, DATABASE_URL: withOptions })[0]).to.include('no options');
    const names = { ...least, TRUSTED_GATEWAYS: 'DNS:*.bank.example' };
    expect(mistakes(names)[0]).to.include('whole names');
    const long = { ...least, TRUSTED_GATEWAYS: `URI:spiffe://${'x'.repeat(250)}` };
    expect(mistakes(long)[0]).to.include('at most 255 characters');
  });

  for (const address of [
    '0.0.0.0:50051',
    '[::]:50051',
    '10.1.2.3:50051',
    '127.0.0.1.nip.io:50051',
    '127.999.0.1:50051',
  ]) {
    it(`refuses plain text on ${address}, unless it is asked for by name`, () => {
      const [mistake] = mistakes({ ...least, GRPC_ADDRESS: address });
      expect(mistake).to.include('would travel in plain text');
      const asked = { ...least, GRPC_ADDRESS: address, GRPC_ALLOW_PLAINTEXT: 'true' };
      expect(mistakes(asked)).to.deep.equal([]);
      const tls = { GRPC_TLS_CERT: file, GRPC_TLS_KEY: file };
      expect(mistakes({ ...least, GRPC_ADDRESS: address, ...tls })).to.deep.equal([]);
    });
  }

  for (const address of ['127.0.0.1:0', '127.1.2.3:50051', '[::1]:50051', 'localhost:50051']) {
    it(`takes plain text on ${address}, which nobody else can listen to`, () => {
      expect(mistakes({ ...least, GRPC_ADDRESS: address })).to.deep.equal([]);
    });
  }

  it('takes a secret from a file, less the line feed at its end', () => {
    const { DATABASE_URL: url, ...others } = least;
    expect(readConfig({ ...others, DATABASE_URL_FILE: file }).database.url).to.equal(url);
    expect(readDatabaseAddress({ DATABASE_URL_FILE: file }).url).to.equal(url);
    expect(mistakes({ ...least, DATABASE_URL_FILE: file })).to.deep.equal([
      'DATABASE_URL and DATABASE_URL_FILE are both set: set one of them.',
    ]);
    expect(mistakes({ ...others, DATABASE_URL_FILE: path.join(folder, 'nothing') })).to.deep.equal([
      'DATABASE_URL_FILE names a file that can not be read.',
    ]);
  });

  it('takes a variable that is empty for one that is not set', () => {
    const empty = Object.fromEntries(Object.keys(variables).map((name) => [name, '']));
    expect(readConfig({ ...empty, ...least })).to.deep.equal(readConfig(least));
  });

  it('limits the rate only where a rate is given', () => {
    expect(readConfig({ ...least, RATE_LIMIT: '20' }).rateLimit).to.deep.equal({
      perSecond: 20,
      burst: 50,
    });
  });
});
