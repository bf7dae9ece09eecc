import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { transform } from 'sucrase';
import { freePort } from '../../scripts/free-port';
import { eventsOf, quickEvents } from '../support/events';
import { eventually } from '../support/helpers';
import { ServiceProcess } from '../support/process';
import { openRelayStage, shareTimes, type RelayStage } from '../support/relay';
import { startHarness, type Harness } from '../support/service';
import type { Message } from '../support/webhook-receiver';

const root = path.join(__dirname, '..', '..');

describe('the example of a receiver', () => {
  let harness: Harness;
  let stage: RelayStage;
  let folder: string;
  let receiver: ServiceProcess;
  let url: string;
  before(async () => {
    harness = await startHarness({ environment: quickEvents });
    stage = await openRelayStage(harness);
    folder = await mkdtemp(path.join(tmpdir(), 'session-import-receiver-'));
    await symlink(path.join(root, 'node_modules'), path.join(folder, 'node_modules'));
    const source = path.join(root, 'examples', 'typescript', 'receive-webhooks.ts');
    const { code } = transform(await readFile(source, 'utf8'), {
      transforms: ['typescript', 'imports'],
    });
    const program = path.join(folder, 'receive-webhooks.js');
    await writeFile(program, code);
    const port = await freePort();
    receiver = ServiceProcess.start([process.execPath, program, String(port)], {
      cwd: folder,
      env: { SECRET: stage.setup.secret },
    });
    url = `http://127.0.0.1:${port}/`;
  });
  after(async () => {
    await receiver.stop();
    await stage.setup.close();
    await harness.stop();
    await rm(folder, { recursive: true });
  });

  it('prints each event once, though it comes again', async () => {
    const { setup, source } = stage;
    await shareTimes(stage, 3);
    const events = await eventsOf(harness, source, 3);
    for (const options of [{}, { after: 0 }]) {
      const relay = setup.start({ to: url, ...options });
      await relay.logged('relaying');
      await eventually(async () => (await setup.cursor()) === 3);
      await relay.stop();
    }
    const printed = receiver.logLines.map((line) => (JSON.parse(line) as Message).data.event_id);
    expect(printed).to.deep.equal(events.map(({ eventId }) => eventId));
  });

  it('takes nothing that is not signed, or is too large', async () => {
    const printed = receiver.logLines.length;
    const headers = {
      'webhook-id': 'x',
      'webhook-timestamp': String(Math.floor(Date.now() / 1_000)),
      'webhook-signature': 'v1,AAAA',
    };
    for (const request of [{ headers }, {}, { headers, body: 'x'.repeat(100_000) }]) {
      const { status } = await fetch(url, { method: 'POST', body: '{}', ...request });
      expect(status).to.equal(401);
    }
    expect(receiver.logLines).to.have.length(printed);
  });
});
