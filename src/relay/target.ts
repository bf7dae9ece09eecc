import { isLoopbackHost } from '../model/loopback';

/**
 * Reads the URL that events are posted to.
 *
 * @param allowPlaintext whether plain http is allowed beyond loopback.
 * @throws Error that says what is wrong. It does not quote the URL, which may hold a secret.
 */
export function targetOf(text: string, allowPlaintext: boolean): URL {
  if (!URL.canParse(text))
    throw new Error('--to must be a URL, such as https://example.com/events');
  const url = new URL(text);
  if (url.username !== '' || url.password !== '') {
    throw new Error(
      '--to must have no user and no password: the receiver knows the sender by the signature',
    );
  }
  if (url.protocol === 'https:') return url;
  if (url.protocol !== 'http:') throw new Error('--to must begin with https://');
  if (allowPlaintext || isLoopbackHost(url.hostname)) return url;
  throw new Error(
    '--to must begin with https://: plain http is for loopback, or with --allow-plaintext, where something else encrypts',
  );
}
