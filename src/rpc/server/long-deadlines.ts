import { status, type ServerInterceptor } from '@grpc/grpc-js';

/** A deadline that passed this long before its call arrived was no short timeout, in milliseconds. */
const clearlyPast = 1_000;

/** The text of grpc-js for a passed deadline. */
const timeIsUp = 'Deadline exceeded';

/**
 * Lets a call with a deadline of more than 24 days run without one.
 *
 * grpc-js keeps the milliseconds of `grpc-timeout` in a signed number of 32 bits. A longer timeout becomes
 * negative, and the call would end at once. A client can't send a negative timeout, so a deadline that has
 * passed when the call arrives comes from a timeout that was too long. From 49.7 days on, the number begins
 * anew at zero, and can't be told from a short timeout.
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
