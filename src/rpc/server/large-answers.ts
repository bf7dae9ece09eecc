import { BinaryWriter } from '@bufbuild/protobuf/wire';

/** A generated type of messages. */
export interface MessageType<Message> {
  encode(message: Message, writer: BinaryWriter): BinaryWriter;
}

/**
 * The largest answer after which its buffer is kept, in bytes. The buffer may have six times as many: three for each
 * character of a text, and then it is doubled.
 */
const largestKept = 2.5 * 1024 * 1024;

let writer = new BinaryWriter();

/**
 * Makes a serializer of messages that can be large. They are all written into one buffer, which is kept. With a
 * buffer for each, an answer of 2 MB would take 8 MB of fresh memory, and more time for that than for all else.
 */
export function largeAnswer<Message>(type: MessageType<Message>): (message: Message) => Buffer {
  return (message) => {
    const own = writer;
    // If it throws, what it has written goes with it.
    writer = new BinaryWriter();
    // Its bytes are a copy, and it begins anew.
    const bytes = type.encode(message, own).finish();
    if (bytes.length <= largestKept) writer = own;
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  };
}
