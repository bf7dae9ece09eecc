import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { serviceConfig } from '../../src/client';

const root = path.join(__dirname, '..', '..');

/** Lines without their indentation: what is quoted may stand deeper in its program. */
const linesOf = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trim())
    .join('\n');

describe('docs/clients.md', () => {
  const docs = readFileSync(path.join(root, 'docs', 'clients.md'), 'utf8');

  /** The service config's, in seconds: that of all examples. */
  const deadline = /"timeout": "(\d+)s"/.exec(serviceConfig)?.[1] ?? 'none';

  for (const language of readdirSync(path.join(root, 'examples'))) {
    it(`quotes the ${language} example as it is, which has the deadline of the service config`, () => {
      const folder = path.join(root, 'examples', language);
      const example = readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => readFileSync(path.join(folder, name), 'utf8'))
        .join('\n');
      const quotes = [...docs.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 'gs'))];
      expect(quotes).not.to.be.empty;
      for (const [, quote = ''] of quotes) expect(linesOf(example)).to.include(linesOf(quote));
      // In seconds, or in milliseconds.
      expect(example).to.match(new RegExp(`(deadline|timeout).*\\b${deadline}(_000)?\\b`, 'i'));
    });
  }
});
