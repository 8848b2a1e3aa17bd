/** The bytes each token id stands for, so that the native core can find stop strings that span tokens. */
import type { Tokenizer } from './tokenizer.ts'

/** Token i is `bytes[offset[i]..offset[i + 1])`. */
interface TokenBytes {
  /** (vocabSize + 1) */
  offset: Int32Array
  bytes: Uint8Array
}

/**
 * The table of a tokenizer. Special tokens stand for no bytes, as they are not part of a text. SentencePiece's marker
 * becomes a space and its byte tokens become bytes; byte-level tokens are turned back into bytes.
 */
export function tokenBytes(tokenizer: Tokenizer): TokenBytes {
  const offset = new Int32Array(tokenizer.vocabSize + 1)
  const pieces: Uint8Array[] = []
  let size = 0
  for (let id = 0; id < tokenizer.vocabSize; id++) {
    const token = tokenizer.specialIds.has(id) ? undefined : tokenizer.idToToken(id)
    const piece = token === undefined ? new Uint8Array() : bytesOf(token, tokenizer.isByteLevel)
    pieces.push(piece)
    size += piece.length
    offset[id + 1] = size
  }
  return { offset, bytes: Buffer.concat(pieces, size) }
}

function bytesOf(token: string, isByteLevel: boolean): Uint8Array {
  if (isByteLevel) {
    const bytes = [...token].map((character) => byteOfCharacter.get(character))
    return bytes.includes(undefined) ? Buffer.from(token) : Uint8Array.from(bytes as number[])
  }
  const byte = /^<0x([0-9A-F]{2})>$/.exec(token)
  return byte ? Uint8Array.of(Number.parseInt(byte[1]!, 16)) : Buffer.from(token.replaceAll('▁', ' '))
}

/** Byte-level BPE writes each byte as one printable character: itself where it is printable, else from U+0100 on. */
const byteOfCharacter = new Map<string, number>()
let next = 0x100
for (let byte = 0; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
  byteOfCharacter.set(String.fromCodePoint(printable ? byte : next++), byte)
}
