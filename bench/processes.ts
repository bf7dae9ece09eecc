import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { Database } from '../src/db/database';
import { read, select } from '../src/db/query';

/** Clock ticks a second, in which Linux counts what a process has used (proc(5)). */
const ticks = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** The processor time that a process has used until now, in seconds. */
export function cpuSeconds(pid: number): number {
  // The name of the program comes second, in brackets, and may have blanks in it.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / ticks;
}

/** The memory of a process that is in use at this moment, in MiB. */
export function residentMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
}

/** Resets the peak memory of a process (proc(5), `clear_refs`). */
export function forgetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** The peak memory of a process since it was last reset, in MiB. */
export function peakMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]) / 1024;
}

/** The process of a server that runs on this machine. */
export async function mysqlPid(db: Database): Promise<number> {
  const [row] = await read(db, select<{ file: string }>('SELECT @@pid_file AS file', []));
  return Number(readFileSync(row?.file ?? '', 'utf8'));
}
