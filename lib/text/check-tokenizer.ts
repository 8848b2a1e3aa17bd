/** What is checked of `tokenizer.json` before the library sees it, and whether its work is bounded by what it is. */
import { inspect } from '../base/inspect.ts'
import { type AddedTokenJson, formatError, type TokenizerJson } from './tokenizer-files.ts'

/** Ids above it are damage: the largest vocabularies have some hundred thousand tokens, and each id takes memory. */
export const maxTokenId = 2 ** 22 - 1

/** Longest text that a part of a tokenizer may put in place of another one. */
const maxContent = 64

const kinds = ['BPE', 'Unigram', 'WordPiece', 'WordLevel']

/** One part of a pipeline: a normalizer, pre-tokenizer, post-processor or decoder. */
type PartJson = Record<string, unknown> & { type?: unknown }

const pipelines = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const

/** Whether a value is the id of a token. */
export function isTokenId(id: unknown): id is number {
  return Number.isInteger(id) && (id as number) >= 0 && (id as number) <= maxTokenId
}

/**
 * Refuses what would take endless memory or wrap.
 *
 * @throws MagrpoError `ERR_MODEL_FORMAT` naming the field
 */
export function checkTokenizer(tokenizer: TokenizerJson, where: string): void {
  const fail = (field: string, expected: string, received: unknown): never => {
    throw formatError(where, `tokenizer.json: expected ${expected} but received ${inspect(received).slice(0, 100)}.`, {
      field,
    })
  }
  const { model, added_tokens: added = [] } = tokenizer
  const expectedId = `ids of tokens from 0 to ${maxTokenId}`
  if (!Array.isArray(added)) fail('added_tokens', 'a list of tokens in "added_tokens"', added)
  for (const token of added as (AddedTokenJson | null)[]) {
    if (typeof token?.content !== 'string') fail('added_tokens', 'the "content" of each added token to be text', token)
    if (!isTokenId(token?.id)) fail('added_tokens', `${expectedId} in "added_tokens"`, token?.id)
  }
  const { type, vocab, unk_id: unknown } = model
  if (type !== undefined && !kinds.includes(type)) fail('model.type', `a model of type ${kinds.join(', ')}`, type)
  if (Array.isArray(vocab)) {
    if (vocab.length > maxTokenId) fail('model.vocab', `at most ${maxTokenId + 1} tokens in "vocab"`, vocab.length)
    for (const entry of vocab)
      if (!Array.isArray(entry) || typeof entry[0] !== 'string' || typeof entry[1] !== 'number')
        fail('model.vocab', 'pairs of a token and its score in "vocab"', entry)
    if (unknown !== undefined && unknown !== null && !isTokenId(unknown))
      fail('model.unk_id', `${expectedId} in "unk_id"`, unknown)
  } else if (typeof vocab !== 'object' || vocab === null) fail('model.vocab', 'tokens with their ids in "vocab"', vocab)
  else
    for (const id of Object.values(vocab)) if (!isTokenId(id)) fail('model.vocab', `${expectedId} in "model.vocab"`, id)
  for (const name of pipelines)
    for (const part of leaves(tokenizer[name])) {
      for (const field of ['content', 'prepend', 'str_rep', 'replacement'])
        if (typeof part[field] === 'string' && part[field].length > maxContent)
          fail(`${name}.${field}`, `at most ${maxContent} characters in "${field}" of "${name}"`, part[field])
      if (part.type === 'Split' || part.type === 'Replace') {
        const { String: text, Regex: regex } = (part.pattern ?? {}) as Record<string, unknown>
        if (typeof (text ?? regex) !== 'string')
          fail(`${name}.pattern`, `"String" or "Regex" in "pattern" of "${name}"`, part.pattern)
      }
      if (part.type === 'FixedLength' && !(Number.isInteger(part.length) && (part.length as number) > 0))
        fail(`${name}.length`, `a positive "length" in "${name}"`, part.length)
    }
}

/**
 * Whether the time and memory of a tokenizer are proportional to its text, by the kinds and patterns of its parts. Those of the models
 * that magrpo computes are; of others, a pattern may take for ever, or parts may multiply what others made.
 */
export function isBounded({ model, added_tokens: added = [], ...tokenizer }: TokenizerJson): boolean {
  const vocab = Array.isArray(model.vocab) ? model.vocab : []
  return (
    // These are looked for at every character, and all that begin there are kept.
    vocab.every(([token]) => token.length <= 64) &&
    added.every(({ content }) => content.length <= 256) &&
    (model.max_input_chars_per_word === undefined || (model.max_input_chars_per_word as number) <= 1000) &&
    pipelines.every((name) => {
      const parts = leaves(tokenizer[name])
      return parts.length <= 8 && parts.every(isBoundedPart) && parts.filter(grows).length <= 2
    })
  )
}

/** The parts of a pipeline, without the sequences that hold them. */
function leaves(part: unknown): PartJson[] {
  if (typeof part !== 'object' || part === null) return []
  const { type, normalizers, pretokenizers, processors, decoders } = part as PartJson
  if (type !== 'Sequence') return [part as PartJson]
  return [normalizers, pretokenizers, processors, decoders]
    .flatMap((list) => (Array.isArray(list) ? list : []))
    .flatMap(leaves)
}

/** Kinds whose work is proportional to their text, whatever their settings. */
const boundedKinds = new Set([
  ...['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'Strip', 'StripAccents', 'Prepend', 'Precompiled', 'BertNormalizer'],
  ...['ByteLevel', 'Metaspace', 'Digits', 'Punctuation', 'Whitespace', 'WhitespaceSplit', 'BertPreTokenizer'],
  ...['BertProcessing', 'RobertaProcessing', 'WordPiece', 'BPEDecoder', 'Fuse', 'ByteFallback', 'FixedLength'],
])

/** Parts whose text may be longer than what they were given. */
const grows = ({ type, content }: PartJson) =>
  type === 'ByteLevel' || (type === 'Replace' && ((content as string | undefined) ?? '').length > 1)

function isBoundedPart(part: PartJson): boolean {
  const { type, pattern, single } = part
  if (boundedKinds.has(type as string)) return true
  if (type === 'Split' || type === 'Replace') {
    const { String: text, Regex: regex } = (pattern ?? {}) as Record<string, unknown>
    return regex === undefined ? typeof text === 'string' && text !== '' : knownPatterns.has(regex as string)
  }
  if (type === 'Strip') return true
  if (type === 'TemplateProcessing') return Array.isArray(single) && single.length <= 16 && sequencesIn(single) <= 1
  return false
}

const sequencesIn = (template: unknown[]) =>
  template.filter((item) => typeof item === 'object' && item !== null && 'Sequence' in item).length

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const upper = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}'
const lower = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}'
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'

/**
 * The patterns of published tokenizers. None has a repetition within another one, and what one alternative went over in vain, the
 * next one takes as a whole, so that a text is gone over a few times at most.
 */
export const knownPatterns: ReadonlySet<string> = new Set([
  // GPT-2 and SmolLM
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  // Llama 3, Qwen 2 and 3, Qwen 3.5
  ...['\\p{N}{1,3}', '\\p{N}'].flatMap((numbers) => [
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`,
    `${contractions}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|${numbers}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${spaces}`,
    // Mistral's Tekken, and GPT-4o
    `[^\\r\\n\\p{L}\\p{N}]?[${upper}]*[${lower}]+|[^\\r\\n\\p{L}\\p{N}]?[${upper}]+[${lower}]*|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
    `[^\\r\\n\\p{L}\\p{N}]?[${upper}]*[${lower}]+${contractions}?|[^\\r\\n\\p{L}\\p{N}]?[${upper}]+[${lower}]*${contractions}?|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`,
  ]),
  // DeepSeek
  '\\p{N}{1,3}',
  '[一-龥぀-ゟ゠-ヿ]+',
  `[!"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_\`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|${spaces}`,
  // `builtin:mini-code`
  '\\n *[a-z]+| ?[A-Za-z]+| ?[0-9]| ?(?:==|//|\\*\\*|\\.?""")| ?[^\\sA-Za-z0-9]|\\s+',
  // SentencePiece
  ' {2,}',
  // Digits, as `reference-behaviour.ts` writes them
  '\\p{N}',
  '\\p{N}+',
])
