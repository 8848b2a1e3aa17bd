/** A model's tokenizer: text to token ids and back, and chat messages to token ids. */

import { Tokenizer as Library } from '@huggingface/tokenizers'
import { z } from 'zod'
import { argumentError, expectList, expectObject, expectText } from '../base/arguments.ts'
import { MagrpoError } from '../base/errors.ts'
import { flag, handle } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import type { ChatOptions } from './chat-template.ts'
import { ChatTemplate } from './chat-template.ts'
import { checkTokenizer, isBounded, isTokenId } from './check-tokenizer.ts'
import { limitedLibrary } from './limited-library.ts'
import type { ChatMessage } from './messages.ts'
import type { LibraryTokenizer } from './reference-behaviour.ts'
import { useReferenceByteFallback, withReferencePatterns } from './reference-behaviour.ts'
import type { SpecialTokenJson, TokenizerConfig, TokenizerFiles, TokenizerJson } from './tokenizer-files.ts'
import { formatError, readTokenizerFiles } from './tokenizer-files.ts'

/** Options of {@link Tokenizer.encode}. */
export interface EncodeOptions {
  /** Whether the tokenizer adds the special tokens it is set up to add (a beginning token, say). Defaults to `true`. */
  addSpecialTokens?: boolean
}

/** Options of {@link Tokenizer.decode}. */
export interface DecodeOptions {
  /** Whether special tokens are left out of the text. Defaults to `true`. */
  skipSpecialTokens?: boolean
}

/** Ids of the named special tokens, where the model has them. */
export interface SpecialIds {
  bos?: number
  eos?: number
  pad?: number
  unk?: number
}

const encodeSection = section({ addSpecialTokens: flag().default(true) } satisfies FieldsOf<EncodeOptions>)
const decodeSection = section({ skipSpecialTokens: flag().default(true) } satisfies FieldsOf<DecodeOptions>)
const chatSection = section({
  addGenerationPrompt: flag().optional(),
  variables: handle('variables by name').optional(),
  now: z.date({ error: 'expected a Date' }).optional(),
} satisfies FieldsOf<ChatOptions>)

const specialNames = ['bos', 'eos', 'pad', 'unk'] as const

/**
 * A tokenizer read from a model folder. It gives the ids and texts that Hugging Face transformers give, except that
 * spaces before punctuation are never "cleaned up" for BPE models, which transformers do not do either.
 */
export class Tokenizer {
  /** One more than the largest token id. The model's vocabulary may be larger, with ids that stand for no text. */
  readonly vocabSize: number
  /** Ids of the named special tokens. */
  readonly special: SpecialIds
  /** Ids of all special tokens: the named ones and those marked so in `tokenizer.json`. */
  readonly specialIds: ReadonlySet<number>
  /** Whether tokens are written as byte-level BPE writes them: one character a byte. */
  readonly isByteLevel: boolean
  readonly #library: LibraryTokenizer
  readonly #files: TokenizerFiles
  readonly #specialTokens: Record<string, string>
  readonly #cleansUp: boolean
  #chatTemplate: ChatTemplate | undefined

  /** @throws MagrpoError `ERR_MODEL_FORMAT` if the tokenizer is of a kind that cannot be used */
  constructor(files: TokenizerFiles) {
    expectObject(files, 'files of a Tokenizer')
    expectObject(files.tokenizer, 'tokenizer.json of a Tokenizer')
    expectObject(files.config, 'tokenizer_config.json of a Tokenizer')
    this.#files = files
    const { config, where } = files
    checkTokenizer(files.tokenizer, where)
    const tokenizer = withBoundaryTokens(files)
    this.#library = this.#inLibrary(() => openLibrary(tokenizer, config))
    this.#specialTokens = namedTokens(config)
    this.special = Object.fromEntries(
      specialNames.flatMap((name) => {
        const token = this.#specialTokens[`${name}_token`]
        const id = token === undefined ? undefined : this.#library.token_to_id(token)
        return id === undefined ? [] : [[name, id]]
      }),
    )
    const marked = (tokenizer.added_tokens ?? []).filter((token) => token.special).map((token) => token.id)
    this.specialIds = new Set([...marked, ...Object.values(this.special)])
    this.isByteLevel = JSON.stringify(tokenizer.decoder ?? null).includes('"ByteLevel"')
    this.vocabSize = vocabularySize(this.#library)
    this.#cleansUp = config.clean_up_tokenization_spaces === true && tokenizer.model.type !== 'BPE'
  }

  /**
   * Reads the tokenizer of a model folder, see `readTokenizerFiles`.
   *
   * @throws MagrpoError `ERR_TOKENIZER_MISSING` if there is none, `ERR_MODEL_FORMAT` if it is broken
   * @example
   * ```ts
   * const tokenizer = await Tokenizer.load('models/stories260K')
   * const ids = tokenizer.encode('Once upon a time')
   * tokenizer.decode(ids) // 'Once upon a time'
   * ```
   */
  static async load(folder: string): Promise<Tokenizer> {
    expectText(folder, 'folder of Tokenizer.load')
    return new Tokenizer(await readTokenizerFiles(folder))
  }

  /**
   * The ids of a text. Special tokens written out in the text become their ids.
   *
   * @throws MagrpoError `ERR_MODEL_FORMAT` if the tokenizer fails on it; one with patterns of its own may take 2 s
   */
  encode(text: string, options: EncodeOptions = {}): Int32Array {
    if (typeof text !== 'string') throw argumentError('text', 'what encode is given', text)
    const { addSpecialTokens } = resolve(encodeSection, options, 'The options of encode')
    const { ids } = this.#inLibrary(() => this.#library.encode(text, { add_special_tokens: addSpecialTokens }))
    if (ids.every((id) => isTokenId(id))) return Int32Array.from(ids)
    throw formatError(this.#files.where, 'tokenizer.json cannot be used: it gives a token that has no id')
  }

  /**
   * The text of ids. Ids without a token (a model's vocabulary is often padded) stand for nothing. Bytes that form no
   * character become U+FFFD; use {@link StreamDecoder} for text that is not complete yet.
   *
   * @throws MagrpoError as {@link encode}
   */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const shown = this.shownIds(ids, resolve(decodeSection, options, 'The options of decode'))
    if (shown.length === 0) return ''
    return this.#inLibrary(() => this.#library.decode(shown, { clean_up_tokenization_spaces: this.#cleansUp }))
  }

  /** The ids that contribute to the text of `decode`: those with a token, special ones only if asked for. */
  shownIds(ids: ArrayLike<number>, { skipSpecialTokens = true }: DecodeOptions = {}): number[] {
    if (!Array.isArray(ids) && !ArrayBuffer.isView(ids))
      throw argumentError('a list of token ids', 'ids of decode', ids)
    const all = Array.from(ids)
    if (all.some((id) => typeof id !== 'number')) throw argumentError('a list of token ids', 'ids of decode', ids)
    return all.filter((id) => this.idToToken(id) !== undefined && !(skipSpecialTokens && this.specialIds.has(id)))
  }

  /** Whether the model has a chat template. */
  get hasChatTemplate(): boolean {
    return this.#files.chatTemplate !== undefined
  }

  /**
   * The text of a chat as the model's chat template writes it.
   *
   * @throws MagrpoError `ERR_CHAT_TEMPLATE` if there is no template, or if it fails
   */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    expectList(messages, 'messages of a chat')
    for (const [index, message] of messages.entries()) expectObject(message, `message ${index} of a chat`)
    resolve(chatSection, options, 'The options of a chat')
    const { chatTemplate, where } = this.#files
    if (chatTemplate === undefined)
      throw new MagrpoError(
        'ERR_CHAT_TEMPLATE',
        `Received chat messages, but the model in ${where} has no chat template. Give prompts as plain text, or put a ` +
          'chat_template.jinja into that folder.',
        { details: { file: where } },
      )
    this.#chatTemplate ??= new ChatTemplate(chatTemplate, this.#specialTokens, where)
    return this.#chatTemplate.render(messages, options)
  }

  /**
   * The ids of a chat. The template writes all special tokens itself; the tokenizer adds none.
   *
   * @throws MagrpoError `ERR_CHAT_TEMPLATE`, see {@link renderChat}
   */
  encodeChat(messages: readonly ChatMessage[], options: ChatOptions = {}): Int32Array {
    return this.encode(this.renderChat(messages, options), { addSpecialTokens: false })
  }

  /** Does something with the library, whose errors have no code. */
  #inLibrary<T>(work: () => T): T {
    try {
      return work()
    } catch (cause) {
      throw formatError(this.#files.where, `tokenizer.json cannot be used: ${(cause as Error).message}`, { cause })
    }
  }

  /** The id of a token as the vocabulary writes it, or undefined. */
  tokenToId(token: string): number | undefined {
    return this.#library.token_to_id(token)
  }

  /** The token of an id as the vocabulary writes it, or undefined. */
  idToToken(id: number): string | undefined {
    return this.#library.id_to_token(id)
  }
}

/** The library's tokenizer; limited where its parts may take more than their text suggests. */
function openLibrary(tokenizer: TokenizerJson, config: TokenizerConfig): LibraryTokenizer {
  const json = withReferencePatterns(tokenizer)
  const make = () => new Library(json, libraryConfig(config)) as LibraryTokenizer
  const library = isBounded(json) ? make() : limitedLibrary(make)
  useReferenceByteFallback(library)
  return library
}

/** Largest id of vocabulary and added tokens, plus one. */
function vocabularySize(library: LibraryTokenizer): number {
  let largest = -1
  for (const id of library.get_vocab().values()) largest = Math.max(largest, id)
  return largest + 1
}

const textOf = (token: SpecialTokenJson | undefined) => (typeof token === 'object' ? token?.content : token)

/** Texts of the special tokens by their names in `tokenizer_config.json`. */
function namedTokens(config: TokenizerConfig): Record<string, string> {
  return Object.fromEntries(
    Object.entries(config).flatMap(([name, token]) => {
      const text = name.endsWith('_token') ? textOf(token as SpecialTokenJson) : undefined
      return typeof text === 'string' ? [[name, text]] : []
    }),
  )
}

/** The library wants special tokens as texts, and warns about what it does not know. */
function libraryConfig(config: TokenizerConfig): Record<string, unknown> {
  return { ...namedTokens(config), tokenizer_class: config.tokenizer_class }
}

/**
 * `add_bos_token` and `add_eos_token` in `tokenizer_config.json` win over the post-processor of `tokenizer.json`, as in
 * transformers.
 */
function withBoundaryTokens({ tokenizer, config, where }: TokenizerFiles): TokenizerJson {
  const complete = {
    normalizer: null,
    pre_tokenizer: null,
    decoder: null,
    post_processor: null,
    added_tokens: [],
    ...tokenizer,
  }
  if (config.add_bos_token === undefined && config.add_eos_token === undefined) return complete
  const boundary = (wanted: boolean | undefined, name: 'bos_token' | 'eos_token') => {
    const text = wanted ? textOf(config[name]) : undefined
    if (wanted && text === undefined)
      throw formatError(where, `tokenizer_config.json: add_${name} is true, but there is no ${name}`, { field: name })
    return text === undefined ? [] : [{ SpecialToken: { id: text, type_id: 0 } }]
  }
  const single = [
    ...boundary(config.add_bos_token, 'bos_token'),
    { Sequence: { id: 'A', type_id: 0 } },
    ...boundary(config.add_eos_token, 'eos_token'),
  ]
  return { ...complete, post_processor: { type: 'TemplateProcessing', single, pair: single, special_tokens: {} } }
}
