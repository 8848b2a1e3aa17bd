/**
 * Where the tokenizer library in JavaScript gives other results than Hugging Face's own in Rust, this file brings it to
 * the Rust behaviour: by other words for the same thing in `tokenizer.json`, or on the parts of a loaded tokenizer.
 */

import type { TokenizerJson } from './tokenizer-files.ts'

/** What is used here of the library's tokenizer; its own declarations do not resolve for ESM with file extensions. */
export interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] }
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string
  token_to_id(token: string): number | undefined
  id_to_token(id: number): string | undefined
  get_vocab(): Map<string, number>
  decoder: LibraryDecoder | null
}

interface LibraryDecoder {
  config: { type: string }
  /** The parts of a sequence. */
  decoders?: LibraryDecoder[]
  decode_chain(tokens: string[]): string[]
}

type PreTokenizerJson = { type: string; [key: string]: unknown } | null

/** How GPT-2 cuts text into words; `ByteLevel` does it unless told otherwise. */
const gpt2Pattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

const split = (pattern: string) => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior: 'Isolated',
  invert: false,
})

/** Says in `Split` patterns, which the library translates well, what it reads differently in other pre-tokenizers. */
export function withReferencePatterns(tokenizer: TokenizerJson): TokenizerJson {
  return { ...tokenizer, pre_tokenizer: rewrite(tokenizer.pre_tokenizer as PreTokenizerJson) }
}

function rewrite(part: PreTokenizerJson): PreTokenizerJson {
  if (part?.type === 'Sequence')
    return { ...part, pretokenizers: (part.pretokenizers as PreTokenizerJson[]).map((inner) => rewrite(inner)) }
  // Digits are all characters with a numeric value; the library takes 0 to 9.
  if (part?.type === 'Digits') return split(part.individual_digits ? '\\p{N}' : '\\p{N}+')
  // The library's own pattern has the white space of JavaScript: with U+FEFF and without U+0085.
  if (part?.type === 'ByteLevel' && part.use_regex !== false && !part.add_prefix_space)
    return { type: 'Sequence', pretokenizers: [split(gpt2Pattern), { ...part, use_regex: false }] }
  return part
}

const byteToken = /^<0x([0-9A-Fa-f]{2})>$/

/** Whether a token stands for one byte (`<0xE2>`), as the tokenizers of Llama 2 write what is not in their vocabulary. */
export function isByteToken(token: string): boolean {
  return byteToken.test(token)
}

/** Corrects how a loaded tokenizer decodes byte tokens. */
export function useReferenceByteFallback(tokenizer: LibraryTokenizer): void {
  const { decoder } = tokenizer
  for (const part of decoder?.decoders ?? (decoder ? [decoder] : []))
    if (part.config.type === 'ByteFallback') part.decode_chain = decodeByteTokens
}

/**
 * Joins runs of byte tokens to text. A run that is not valid UTF-8 becomes one U+FFFD a byte, and a byte order mark is
 * kept; the library's own version gives fewer U+FFFD and drops the mark.
 */
function decodeByteTokens(tokens: string[]): string[] {
  const texts: string[] = []
  let bytes: number[] = []
  const endRun = () => {
    if (bytes.length > 0) texts.push(decodeBytes(Uint8Array.from(bytes)))
    bytes = []
  }
  for (const token of tokens) {
    const match = byteToken.exec(token)
    if (match) bytes.push(Number.parseInt(match[1] as string, 16))
    else {
      endRun()
      texts.push(token)
    }
  }
  endRun()
  return texts
}

function decodeBytes(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return '\ufffd'.repeat(bytes.length)
  }
}
