import type { Binding } from '../db/query';
import { fromBinary, toBinary } from '../model/ids';
import type { Actor } from '../model/session';

/** The columns that say who acted: `api_key_id` and `gateway`, of which one is null. */
export interface ActorRow {
  readonly api_key_id: Buffer | null;
  readonly gateway: string | null;
}

/** What goes into the two columns, in their order. @param actor null: nobody who is on record. */
export function actorBindings(actor: Actor | null): readonly [Binding, Binding] {
  return [actor?.apiKeyId ? toBinary(actor.apiKeyId) : null, actor?.gateway ?? null];
}

/** Who acted; null if both columns are null, for example because an operator has erased them. */
export function actorOf({ api_key_id: key, gateway }: ActorRow): Actor | null {
  if (key) return { apiKeyId: fromBinary(key), gateway: null };
  return gateway === null ? null : { apiKeyId: null, gateway };
}
