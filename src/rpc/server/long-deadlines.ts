import { status, type ServerInterceptor } from '@grpc/grpc-js';

/** How far behind its call's arrival a deadline lies when it can't be a short timeout, in milliseconds. */
const clearlyPast = 1_000;

/** What grpc-js says when a call's time is up. */
const timeIsUp = 'Deadline exceeded';

/**
 * Lets a call with a deadline of more than 24 days run without one.
 *
 * grpc-js keeps the milliseconds of `grpc-timeout` in 32 bits with a sign. A longer timeout becomes
 * negative, and the call would end at once. A client can't send a timeout below zero, so a deadline
 * that has passed when the call arrives is such a one. From 49.7 days on the milliseconds begin anew
 * at zero, which looks like a short timeout, and can't be told from one.
 *
 * @param call the call of grpc-js itself, right after it was made.
 */
export function allowLongDeadline(call: Parameters<ServerInterceptor>[1]): void {
  if (Number(call.getDeadline()) > Date.now() - clearlyPast) return;
  call.getDeadline = () => Infinity;
  const send = call.sendStatus.bind(call);
  call.sendStatus = (sent) => {
    const byTimer = sent.code === status.DEADLINE_EXCEEDED && sent.details === timeIsUp;
    if (!byTimer) send(sent);
  };
}
