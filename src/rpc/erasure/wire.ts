import type { Retention as WireRetention } from '../../gen/sessionimport/v1/session_erasure';
import type { Retention } from '../../model/retention';

/** How long a session is kept, as the contract writes it; undefined: nothing was said. */
export function wireRetention({ eraseAfter, hold }: Retention): WireRetention | undefined {
  if (!eraseAfter && !hold) return undefined;
  return {
    eraseAfter: eraseAfter ?? undefined,
    hold: hold
      ? { until: hold.until ?? undefined, reference: hold.reference ?? undefined }
      : undefined,
  };
}
