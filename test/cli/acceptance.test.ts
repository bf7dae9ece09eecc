import { expect } from 'chai';
import { acceptanceArgument, wordsOf } from '../../src/cli/acceptance';
import { noRules } from '../../src/model/acceptance';

describe('rules for acceptance on the command line', () => {
  it('are read, and written as they would be given', () => {
    const all =
      'max_age=7776000s documents_unexpired statuses=approved,kyc_expired relations=faces,logs';
    expect(acceptanceArgument(all)).to.deep.equal({
      maxAge: 7_776_000,
      documentsUnexpired: true,
      statuses: ['Approved', 'Kyc Expired'],
      relations: ['faces', 'logs'],
    });
    for (const text of [all, 'max_age=1s', 'documents_unexpired', 'statuses=in_review', 'none']) {
      expect(wordsOf(acceptanceArgument(text))).to.equal(text);
    }
    expect(acceptanceArgument(' none ')).to.deep.equal(noRules);
  });

  it('take ages in seconds, hours and days, up to 100 years', () => {
    const ageOf = (text: string) => acceptanceArgument(`max_age=${text}`).maxAge;
    expect(ageOf('90s')).to.equal(90);
    expect(ageOf('36h')).to.equal(129_600);
    expect(ageOf('36525d')).to.equal(3_155_760_000);
  });

  const wrong: Readonly<Record<string, string>> = {
    '': 'must name rules, or be none',
    age: 'There is no rule age',
    'none max_age=1d': 'There is no rule none',
    'max_age=1d max_age=2d': 'names the rule max_age twice',
    max_age: 'max_age must be a number with s, h or d',
    'max_age=0s': 'max_age must be a number with s, h or d',
    'max_age=1': 'max_age must be a number with s, h or d',
    'max_age=-1d': 'max_age must be a number with s, h or d',
    'max_age=36526d': 'at most 100 years',
    'documents_unexpired=false': 'documents_unexpired takes no value',
    'statuses=': 'statuses must have values',
    relations: 'relations must have values',
    'statuses=approved,expired': 'expired must be one of approved, declined',
  };
  for (const [text, message] of Object.entries(wrong)) {
    it(`are refused with what is wrong: "${text}"`, () => {
      expect(() => acceptanceArgument(text)).to.throw(message);
    });
  }
});
