import { readFile } from 'node:fs/promises';
import { Command, Option } from '@commander-js/extra-typings';
import type { JWK } from 'jose';
import { findSession } from '../admin/sessions';
import type { ApplicationId, SessionId } from '../db/ids';
import { addToKeySet, writePrivateKey } from '../token/key-files';
import { algorithms, longestLifetime } from '../token/share-token';
import { generateSigningKey, signShareToken } from '../token/signing';
import { idArgument, wholeNumberArgument } from './arguments';
import { withDatabase } from './database';
import { printFacts } from './output';

/** `signing-key generate` */
export function signingKeyCommand() {
  return new Command('signing-key')
    .description('keys that share tokens are signed with')
    .addCommand(
      new Command('generate')
        .description('make a key: its private half for the signer, its public half for the service')
        .requiredOption('--out <file>', 'where to write the private JWK; must not exist')
        .requiredOption('--jwks <file>', 'the JWK Set to add the public half to; made if missing')
        .addOption(
          new Option('--alg <algorithm>', 'the signature algorithm')
            .choices(algorithms)
            .default('EdDSA' as const),
        )
        .option('--kid <kid>', "the key's id (default: a random one)")
        .option(
          '--application <id>',
          'the one application that the key signs for (default: any)',
          idArgument<ApplicationId>,
        )
        .option('--json', 'print JSON', false)
        .action(async ({ out, jwks, alg, kid, application, json }) => {
          const key = await generateSigningKey({ algorithm: alg, kid, applicationId: application });
          await writePrivateKey(out, key.privateJwk);
          await addToKeySet(jwks, key.verificationJwk);
          printFacts(
            {
              kid: key.privateJwk.kid ?? null,
              alg,
              application_id: application ?? null,
              private_jwk: out,
              jwks,
            },
            { json },
          );
        }),
    );
}

/** `share-token sign` */
export function shareTokenCommand() {
  return new Command('share-token')
    .description('share tokens: what lets a session be imported')
    .addCommand(
      new Command('sign')
        .description('sign a share token for a session of the database')
        .requiredOption('--key <file>', 'the private JWK to sign with')
        .requiredOption('--session <id>', 'the session to share', idArgument<SessionId>)
        .requiredOption(
          '--for <application id>',
          'the application that may import it',
          idArgument<ApplicationId>,
        )
        .option(
          '--ttl <seconds>',
          'how long the token is valid',
          wholeNumberArgument(1, longestLifetime),
          3600,
        )
        .option('--json', 'print JSON', false)
        .action(async ({ key, session: sessionId, for: forApplicationId, ttl, json }) => {
          const privateJwk = JSON.parse(await readFile(key, 'utf8')) as JWK;
          const session = await withDatabase((db) => findSession(db, sessionId));
          if (!session) throw new Error(`there is no session ${sessionId}`);
          const token = await signShareToken(privateJwk, {
            sessionId,
            kind: session.kind,
            fromApplicationId: session.applicationId,
            forApplicationId,
            lifetime: ttl,
          });
          printFacts(
            {
              share_token: token,
              session_kind: session.kind,
              from_application_id: session.applicationId,
              for_application_id: forApplicationId,
              expires_in_seconds: ttl,
            },
            { json },
          );
        }),
    );
}
