import path from 'node:path';
import { Command, Option } from '@commander-js/extra-typings';
import { requireApplication } from '../store/accounts';
import { read } from '../db/query';
import type { ApplicationId, SessionId } from '../model/ids';
import { sessionById } from '../store/sessions/find';
import { extendKeySet, readPrivateKey, writePrivateKey } from '../token/key-files';
import { groundsKinds, maxPurpose, maxReference } from '../model/grounds';
import { maxLifetime } from '../model/share-lifetime';
import { algorithms } from '../token/share-token';
import { generateSigningKey, signShareToken } from '../token/signing';
import { codeArgument, idArgument, momentArgument, wholeNumberArgument } from './arguments';
import { withDatabase } from './database';
import { groundsOfOptions } from './grounds';
import { relationsArgument, scopeOfNames } from './relations';
import { printFields } from './output';

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
        .option('--json', 'print JSON')
        .action(async ({ out, jwks, alg, kid, application, json }) => {
          if (path.resolve(out) === path.resolve(jwks)) {
            throw new Error(
              '--out and --jwks must be two files: the second one is for everybody to see',
            );
          }
          const key = await generateSigningKey({ algorithm: alg, kid, applicationId: application });
          const set = await extendKeySet(jwks, key.verificationJwk);
          await writePrivateKey(out, key.privateJwk);
          await set.save();
          await printFields(
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
          wholeNumberArgument(1, maxLifetime),
          3600,
        )
        .option(
          '--include-linked-sessions',
          'for a business session: share those of its key people with it',
        )
        .option(
          '--relations <names>',
          'share these relations alone: names, with commas between them (default: all)',
          relationsArgument,
        )
        .addOption(
          new Option('--grounds <kind>', 'why the sharing is lawful').choices(groundsKinds),
        )
        .option(
          '--purpose <code>',
          'what the session is shared for: a code',
          codeArgument(maxPurpose),
        )
        .option(
          '--reference <code>',
          'where the details are kept: a code',
          codeArgument(maxReference),
        )
        .option('--obtained-at <time>', 'when the grounds were obtained', momentArgument)
        .option('--evidence <file>', 'the evidence, of which only the SHA-256 is signed')
        .option('--json', 'print JSON')
        .action(async ({ key, session: sessionId, for: forApplicationId, ttl, ...options }) => {
          const { includeLinkedSessions = false, relations = [], json } = options;
          const grounds = await groundsOfOptions(options);
          const privateJwk = await readPrivateKey(key);
          const session = await withDatabase(async (db) => {
            await requireApplication(db, forApplicationId);
            return read(db, sessionById(sessionId, undefined));
          });
          if (!session) throw new Error(`there is no session ${sessionId}`);
          if (session.applicationId === forApplicationId) {
            throw new Error('the session is of that application: it can not share with itself');
          }
          if (includeLinkedSessions && session.kind !== 'business') {
            throw new Error('only a business session has linked sessions');
          }
          const scope = scopeOfNames(relations, session.kind, includeLinkedSessions);
          const signsFor = privateJwk.application_id;
          if (signsFor !== undefined && signsFor !== session.applicationId) {
            throw new Error(
              'the key signs for another application than the one that has the session',
            );
          }
          const token = await signShareToken(privateJwk, {
            sessionId,
            kind: session.kind,
            fromApplicationId: session.applicationId,
            forApplicationId,
            lifetime: ttl,
            includeLinkedSessions,
            grounds,
            scope,
          });
          await printFields(
            {
              share_token: token,
              session_kind: session.kind,
              from_application_id: session.applicationId,
              for_application_id: forApplicationId,
              linked_sessions: includeLinkedSessions,
              relations: scope ? scope.join() : null,
              grounds: grounds?.kind ?? null,
              expires_in_seconds: ttl,
            },
            { json },
          );
        }),
    );
}
