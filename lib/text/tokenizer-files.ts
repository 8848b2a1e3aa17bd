/** Reading the files of a tokenizer from a model folder in the layout of Hugging Face. */

import { join } from 'node:path'
import { MagrpoError, ModelFormatError } from '../base/errors.ts'
import { inspect } from '../base/inspect.ts'
import { readJsonFile, readModelText } from '../base/read-json.ts'

/** What a model folder says about its tokenizer. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  tokenizer: TokenizerJson
  /** `tokenizer_config.json`; empty if there is none. */
  config: TokenizerConfig
  /** Text of the chat template, if there is one. */
  chatTemplate?: string
  /** Folder or file it comes from, for messages. */
  where: string
}

/** The parts of `tokenizer.json` that are looked at here; the rest is the library's business. */
export interface TokenizerJson {
  model: { type?: string; vocab?: unknown; [key: string]: unknown }
  added_tokens?: AddedTokenJson[]
  post_processor?: unknown
  [key: string]: unknown
}

/** One added token of `tokenizer.json`. */
export interface AddedTokenJson {
  id: number
  content: string
  special?: boolean
  [key: string]: unknown
}

/** A special token in `tokenizer_config.json`: its text, or an object with it. */
export type SpecialTokenJson = string | { content: string } | null

/** The parts of `tokenizer_config.json` that are looked at here. */
export interface TokenizerConfig {
  bos_token?: SpecialTokenJson
  eos_token?: SpecialTokenJson
  pad_token?: SpecialTokenJson
  unk_token?: SpecialTokenJson
  add_bos_token?: boolean
  add_eos_token?: boolean
  clean_up_tokenization_spaces?: boolean
  chat_template?: string | { name: string; template: string }[]
  [key: string]: unknown
}

/**
 * Reads `tokenizer.json`, `tokenizer_config.json` (with `special_tokens_map.json` behind it), and the chat template: that
 * of `chat_template.jinja`, else of `tokenizer_config.json`, where of several the one named `default` is taken.
 *
 * @throws MagrpoError `ERR_TOKENIZER_MISSING` if there is no `tokenizer.json`, `ERR_MODEL_FORMAT` if a file is broken
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const tokenizer = await readJsonFile(folder, 'tokenizer.json')
  if (tokenizer === undefined)
    throw new MagrpoError(
      'ERR_TOKENIZER_MISSING',
      `Expected a tokenizer.json in ${folder} but there is none. Give token ids instead of text, or convert the model's ` +
        'tokenizer: in Python, AutoTokenizer.from_pretrained(model).save_pretrained(folder) writes one.',
      { details: { folder } },
    )
  const file = join(folder, 'tokenizer.json')
  if (typeof tokenizer.model !== 'object' || tokenizer.model === null)
    throw formatError(file, 'expected a field "model" with the vocabulary', { field: 'model' })
  const config = {
    ...(await readJsonFile(folder, 'special_tokens_map.json')),
    ...(await readJsonFile(folder, 'tokenizer_config.json')),
  } as TokenizerConfig
  const chatTemplate = (await readModelText(join(folder, 'chat_template.jinja'))) ?? templateOf(config, folder)
  return { tokenizer: tokenizer as TokenizerJson, config, chatTemplate, where: folder }
}

function templateOf({ chat_template: given }: TokenizerConfig, folder: string): string | undefined {
  const template = Array.isArray(given) ? given.find((named) => named?.name === 'default')?.template : given
  if (template === undefined || template === null || typeof template === 'string') return template ?? undefined
  throw formatError(
    join(folder, 'tokenizer_config.json'),
    `expected text, or a list of texts with names, in "chat_template" but received ${inspect(given).slice(0, 100)}`,
    { field: 'chat_template' },
  )
}

/** An error about a tokenizer file that is there but broken. */
export function formatError(
  file: string,
  message: string,
  { field, cause }: { field?: string; cause?: unknown } = {},
): ModelFormatError {
  return new ModelFormatError('ERR_MODEL_FORMAT', `${file}: ${message}`, {
    details: { file, ...(field !== undefined && { field }) },
    cause,
  })
}
