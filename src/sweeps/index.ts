import { sessionKinds } from '../model/session';
import { changedSweep } from './changed';
import { goneSweep } from './gone';
import { missedSweep } from './missed';
import type { Sweep } from './sweep';

/** The looks for sessions that the platform has changed or deleted by itself: whoever has a copy is told. */
export const sweeps: readonly Sweep[] = [...sessionKinds.map(changedSweep), missedSweep, goneSweep];
