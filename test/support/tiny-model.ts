/** Small variations of the golden models: a tokenizer, changed settings, damaged tensors. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type GoldenConfig, goldenModel, goldenTensors, safetensorsBytes } from './golden-models.ts'

/** A byte-level tokenizer of the 128 characters of ASCII, without merges: the id of a character is its code. */
export function asciiTokenizer(): Record<string, unknown> {
  let invisible = 0
  const vocab: Record<string, number> = {}
  // Byte-level vocabularies write invisible bytes as the characters from U+0100 on.
  for (let byte = 0; byte < 128; byte++)
    vocab[byte > 32 && byte < 127 ? String.fromCharCode(byte) : String.fromCharCode(256 + invisible++)] = byte
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', vocab, merges: [] },
  }
}

/** What to change in a golden model's folder. */
export interface TinyOptions {
  /** Golden model. Defaults to `qwen3-tied`. */
  name?: string
  /** Fields of config.json; undefined removes one. */
  config?: Record<string, unknown>
  /** Whether it gets {@link asciiTokenizer}. Defaults to `false`. */
  tokenizer?: boolean
}

/** A golden model's folder with changes; it goes when the process ends. */
export function tinyModel({ name = 'qwen3-tied', config = {}, tokenizer = false }: TinyOptions = {}): string {
  const folder = goldenModel(name)
  editJson(join(folder, 'config.json'), (json) => Object.assign(json, config))
  if (tokenizer) writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(asciiTokenizer()))
  return folder
}

/**
 * A Llama of made-up weights that reads and writes ASCII, for tests that need some model and no particular one. Its three layers are
 * enough for PEFT to name modules by their last part.
 */
export function asciiModel(): string {
  const config = { max_position_embeddings: 2048, num_hidden_layers: 3 }
  const folder = tinyModel({ name: 'llama', tokenizer: true, config })
  const whole = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as GoldenConfig
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes(goldenTensors('llama', whole)))
  return folder
}

/** Rewrites a JSON file. */
export function editJson(file: string, edit: (json: Record<string, unknown>) => unknown): void {
  const json = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  writeFileSync(file, JSON.stringify(edit(json) ?? json))
}

/** Header entry of one tensor in a safetensors file. */
export interface HeaderEntry {
  dtype: string
  shape: number[]
  data_offsets: [number, number]
}

/**
 * Rewrites a safetensors file.
 *
 * @param edit gets the header without metadata, and the data; what it returns replaces the data
 */
export function editSafetensors(
  file: string,
  edit: (header: Record<string, HeaderEntry>, data: Buffer) => Buffer | undefined,
): void {
  const bytes = readFileSync(file)
  const end = 8 + Number(bytes.readBigUInt64LE())
  const { __metadata__, ...header } = JSON.parse(bytes.toString('utf8', 8, end))
  const data = Buffer.from(bytes.subarray(end))
  const changed = edit(header, data) ?? data
  const text = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(file, Buffer.concat([length, text, changed]))
}
