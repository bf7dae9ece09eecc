import { z } from 'zod';
import type { ApplicationId } from '../../model/ids';
import {
  ImportDirection,
  ImportOutcome,
  type ListImportsRequest,
} from '../../gen/sessionimport/v1/session_trace';
import type { ImportFilter, Outcome } from '../../store/import-lists';
import { checkRequest, knownValue, moment, optionalId } from '../call/request';
import { wantedKind, wantedKinds } from '../wire';

/** A request whose fields are known to be well-formed. */
interface ParsedListImportsRequest {
  readonly direction: 'incoming' | 'outgoing';
  /** Undefined: both. */
  readonly outcome: Outcome | undefined;
  readonly filter: ImportFilter;
}

const outcomes: Readonly<Record<number, Outcome>> = {
  [ImportOutcome.IMPORT_OUTCOME_IMPORTED]: 'imported',
  [ImportOutcome.IMPORT_OUTCOME_REFUSED]: 'refused',
};

const schema = z.object({
  direction: knownValue([
    ImportDirection.IMPORT_DIRECTION_UNSPECIFIED,
    ImportDirection.IMPORT_DIRECTION_INCOMING,
    ImportDirection.IMPORT_DIRECTION_OUTGOING,
  ]),
  outcome: knownValue([
    ImportOutcome.IMPORT_OUTCOME_UNSPECIFIED,
    ImportOutcome.IMPORT_OUTCOME_IMPORTED,
    ImportOutcome.IMPORT_OUTCOME_REFUSED,
  ]),
  session_kind: knownValue(wantedKinds),
  other_application_id: optionalId<ApplicationId>(),
  since: moment.optional(),
  until: moment.optional(),
});

/** What can't be said of one field alone. */
function schemaFor(request: ListImportsRequest) {
  const { since } = request;
  const othersRefusals =
    isOutgoing(request) && request.outcome === ImportOutcome.IMPORT_OUTCOME_REFUSED;
  const { outcome, until } = schema.shape;
  return schema.extend({
    outcome: outcome.refine(
      () => !othersRefusals,
      'must not be IMPORT_OUTCOME_REFUSED with IMPORT_DIRECTION_OUTGOING: what others were refused is theirs to know',
    ),
    until: until.refine((end) => !(since && end) || since < end, 'must be after since'),
  });
}

/**
 * Checks the form of a request, less its page.
 *
 * @throws ServiceError with INVALID_REQUEST, naming every field that is wrong.
 */
export function parseListImportsRequest(request: ListImportsRequest): ParsedListImportsRequest {
  const fields = checkRequest(schemaFor(request), {
    direction: request.direction,
    outcome: request.outcome,
    session_kind: request.sessionKind,
    other_application_id: request.otherApplicationId,
    since: request.since,
    until: request.until,
  });
  return {
    direction: isOutgoing(request) ? 'outgoing' : 'incoming',
    outcome: outcomes[fields.outcome],
    filter: {
      kind: wantedKind(fields.session_kind),
      otherApplicationId: fields.other_application_id,
      since: fields.since,
      until: fields.until,
    },
  };
}

function isOutgoing({ direction }: ListImportsRequest): boolean {
  return direction === ImportDirection.IMPORT_DIRECTION_OUTGOING;
}
