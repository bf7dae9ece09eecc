/** What OpenSSL says if an answer is not TLS (its error SSL_R_WRONG_VERSION_NUMBER). */
const wrongVersion = 'wrong version number';

/**
 * Says what to do if a service is called with TLS and does not speak it.
 *
 * @param details of the error that the call ended with.
 * @returns undefined if the error is another one.
 */
export function noTlsHint(details: string): string | undefined {
  if (!details.includes(wrongVersion)) return undefined;
  return 'the service does not speak TLS at this address: use --plaintext, where the network may read along';
}
