import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { builtProgram } from './program';

const root = path.join(__dirname, '..', '..');

/** The service, or a command of it, in a process of its own. */
export class ServiceProcess {
  readonly logLines: string[] = [];
  errors = '';

  private constructor(private readonly child: ChildProcessByStdio<null, Readable, Readable>) {
    createInterface(child.stdout).on('line', (line) => this.logLines.push(line));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
  }

  /** Runs the program; only what is given is in its environment. */
  static run(
    args: readonly string[],
    environment: Readonly<Record<string, string>>,
    cwd = root,
  ): ServiceProcess {
    return ServiceProcess.start([process.execPath, builtProgram(), ...args], {
      cwd,
      // As in production: a .env file of whoever runs the tests has no say.
      env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...environment },
    });
  }

  /** Starts `serve` and waits until it does. */
  static async serve(environment: Readonly<Record<string, string>>): Promise<ServiceProcess> {
    const service = ServiceProcess.run(['serve'], {
      GRPC_ADDRESS: '127.0.0.1:0',
      METRICS_ADDRESS: '127.0.0.1:0',
      ...environment,
    });
    await Promise.race([service.logged('serving'), once(service.child, 'exit')]);
    if (service.child.exitCode !== null) throw new Error(`serve has ended: ${service.errors}`);
    return service;
  }

  /** Runs any program; only what is given is in its environment. */
  static start(
    [program = '', ...args]: readonly string[],
    options: { readonly cwd: string; readonly env: Readonly<Record<string, string | undefined>> },
  ): ServiceProcess {
    return new ServiceProcess(
      spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
  }

  /** Waits for a log line with the given message, and returns it. */
  async logged(message: string): Promise<Record<string, unknown>> {
    for (;;) {
      for (const line of this.logLines) {
        const entry = JSON.parse(line) as Record<string, unknown>;
        if (entry['msg'] === message) return entry;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async port(): Promise<number> {
    return Number((await this.logged('serving'))['port']);
  }

  /** Closes the pipe that the log lines come through, as a reader that has crashed would. */
  stopReading(): void {
    this.child.stdout.destroy();
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Waits for the end of the process, and returns its exit code. */
  async ended(): Promise<number | null> {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      await once(this.child, 'close');
    }
    return this.child.exitCode;
  }

  async stop(): Promise<number | null> {
    this.signal('SIGTERM');
    return this.ended();
  }
}
