/** The golden values of `test/golden/text/tokenizer_cases.json`, made with Hugging Face's own libraries. */

import { readFileSync } from 'node:fs'
import type { ExecutionContext } from 'ava'
import type { ChatMessage } from '../../lib/text/messages.ts'
import { Tokenizer } from '../../lib/text/tokenizer.ts'
import type { TokenizerConfig, TokenizerJson } from '../../lib/text/tokenizer-files.ts'

/** Texts with their ids, and ids with their texts; `plain` is without special tokens. */
export interface TextCases {
  encoded: { text: string; ids: number[]; plain: number[] }[]
  decoded: { ids: number[]; text: string; plain: string }[]
}

/** One chat with what transformers made of it, or the template's refusal. */
export interface ChatCase {
  messages: ChatMessage[]
  addGenerationPrompt: boolean
  variables: Record<string, unknown>
  text?: string
  ids?: number[]
  error?: string
}

/** One small tokenizer with its cases. */
export interface GoldenTokenizer extends TextCases {
  tokenizer: TokenizerJson
  config: TokenizerConfig
  special: Record<string, number>
  chats: Record<string, { template: string; cases: ChatCase[] }>
}

interface Golden {
  versions: Record<string, string>
  tokenizers: Record<string, GoldenTokenizer>
  stories260K: TextCases
}

const path = new URL('../golden/text/tokenizer_cases.json', import.meta.url)

/** The whole file. */
export const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden

/** A tokenizer of the golden file, with a chat template if wanted. */
export function goldenTokenizer(name: string, chatTemplate?: string): Tokenizer {
  const { tokenizer, config } = golden.tokenizers[name] as GoldenTokenizer
  return new Tokenizer({ tokenizer, config, chatTemplate, where: name })
}

/** Holds a tokenizer against the ids and texts that transformers gave. */
export function tokenizesAs(t: ExecutionContext, tokenizer: Tokenizer, { encoded, decoded }: TextCases): void {
  for (const { text, ids, plain } of encoded) {
    t.deepEqual([...tokenizer.encode(text)], ids, JSON.stringify(text))
    t.deepEqual([...tokenizer.encode(text, { addSpecialTokens: false })], plain, JSON.stringify(text))
  }
  for (const { ids, text, plain } of decoded) {
    t.is(tokenizer.decode(ids, { skipSpecialTokens: false }), text, JSON.stringify(ids))
    t.is(tokenizer.decode(Int32Array.from(ids)), plain, JSON.stringify(ids))
  }
}
