import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { atExit } from '../../scripts/mysql/cleanup';
import { LogLines } from './log-lines';
import { builtProgram } from './program';

const root = path.join(__dirname, '..', '..');

/** The service, or a command of it, in a process of its own. */
export class ServiceProcess extends LogLines {
  errors = '';

  private constructor(private readonly child: ChildProcessByStdio<null, Readable, Readable>) {
    super();
    createInterface(child.stdout)
      .on('line', (line) => {
        this.addLine(line);
      })
      .on('close', () => {
        this.endLog();
      });
    // What a test that fails leaves running.
    const forget = atExit(() => child.kill('SIGKILL'));
    child.once('exit', forget);
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
    await service.logged('serving');
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

  protected async whyEnded(): Promise<string> {
    await this.ended();
    return this.errors;
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
