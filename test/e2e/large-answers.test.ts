import { expect } from 'chai';
import { GetSessionResponse } from '../../src/gen/sessionimport/v1/session_read';
import { UserRelations } from '../../src/gen/sessionimport/v1/session_relations';
import { largeAnswer } from '../../src/rpc/server/large-answers';

const serialize = largeAnswer<GetSessionResponse>(GetSessionResponse);

/** An answer with rows of a size, in bytes. */
function answer(bytes: number, rows = 3): GetSessionResponse {
  const logs = Array.from({ length: rows }, () => ({ additionalData: 'ä'.repeat(bytes / 2) }));
  const value = UserRelations.fromJSON({ logs });
  return GetSessionResponse.fromPartial({ relations: { $case: 'user', value } });
}

describe('a serializer of large answers', () => {
  it('makes the same bytes as the generated one, whatever came before', () => {
    for (const bytes of [10, 1_000_000, 0, 100, 5_000_000, 10]) {
      const made = serialize(answer(bytes));
      const wanted = GetSessionResponse.encode(answer(bytes)).finish();
      expect(made.equals(wanted), String(bytes)).to.equal(true);
    }
  });

  it('leaves answers alone that it made before', () => {
    const first = serialize(answer(1_000));
    const copy = Buffer.from(first);
    serialize(answer(2_000));
    expect(first.equals(copy)).to.equal(true);
  });

  it('leaves nothing behind of an answer that can not be written', () => {
    const failing = {
      ...answer(1_000),
      get more(): never {
        throw new Error('it can not be read');
      },
    };
    expect(() => serialize(failing)).to.throw('it can not be read');
    const made = serialize(answer(100));
    expect(made.equals(GetSessionResponse.encode(answer(100)).finish())).to.equal(true);
  });
});
