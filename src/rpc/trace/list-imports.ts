import { z } from 'zod';
import {
  ImportDirection,
  ImportOutcome,
  type ListImportsRequest,
  type ListImportsResponse,
} from '../../gen/sessionimport/v1/session_trace';
import type { ApplicationId } from '../../model/ids';
import { listIncoming, listOutgoing, type AttemptOutcome } from '../../store/import-lists';
import type { ImportFilter } from '../../store/import-records';
import { incomingKeyset, outgoingKeyset } from '../../store/ledger/records';
import type { Caller } from '../call/callers';
import { PageTokens } from '../call/page-tokens';
import {
  brokenIf,
  checkRequest,
  emptyPeriod,
  knownValue,
  moment,
  optionalId,
} from '../call/request';
import type { HandlerContext } from '../context';
import { wantedKind, wantedKinds } from '../wire';
import { wireImportRecord } from './wire';

/** Lists what the caller's application has imported, or what others have imported of it. */
export async function listImports(
  request: ListImportsRequest,
  { applicationId }: Caller,
  { onDatabase, annotate }: HandlerContext,
): Promise<ListImportsResponse> {
  const { direction, outcome, filter } = parseRequest(request);
  const tokens = new PageTokens(
    ['ListImports', applicationId, direction, outcome, filter],
    direction === 'outgoing' ? outgoingKeyset : incomingKeyset,
  );
  const page = tokens.read(request);
  const { items, end } = await onDatabase((db) =>
    direction === 'outgoing'
      ? listOutgoing(db, applicationId, filter, page)
      : listIncoming(db, applicationId, filter, outcome, page),
  );
  annotate({ imports: items.length });
  return { imports: items.map(wireImportRecord), nextPageToken: tokens.after(end) };
}

/** A request whose fields are known to be well-formed. */
interface ParsedListImportsRequest {
  readonly direction: 'incoming' | 'outgoing';
  /** Undefined: both. */
  readonly outcome: AttemptOutcome | undefined;
  readonly filter: ImportFilter;
}

const outcomes: Readonly<Record<number, AttemptOutcome>> = {
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

/**
 * Checks the form of a request, less its page.
 *
 * @throws ServiceError with INVALID_REQUEST, naming every field that is wrong.
 */
function parseRequest(request: ListImportsRequest): ParsedListImportsRequest {
  const { direction, outcome, since, until } = request;
  const othersRefusals = isOutgoing(request) && outcome === ImportOutcome.IMPORT_OUTCOME_REFUSED;
  const fields = checkRequest(
    schema,
    {
      ...{ direction, outcome, since, until },
      session_kind: request.sessionKind,
      other_application_id: request.otherApplicationId,
    },
    [
      brokenIf(
        othersRefusals,
        'outcome',
        'must not be IMPORT_OUTCOME_REFUSED with IMPORT_DIRECTION_OUTGOING: what others were refused is theirs to know',
      ),
      emptyPeriod(since, until, 'until', 'must be after since'),
    ],
  );
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
