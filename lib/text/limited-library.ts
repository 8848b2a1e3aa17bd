/** A tokenizer of the library whose parts may take for ever or multiply their text, within limits of time and size. */
import { TimeLimited } from '../base/within-time.ts'
import type { LibraryTokenizer } from './reference-behaviour.ts'

/** Half of the time that one text may take. */
const limitMs = 1000

/** Characters or tokens that a part may give besides some for each that the tokenizer was given. */
const freeSize = 2 ** 20
const sizePerCharacter = 64

/** A part of the library's pipelines; those of a sequence are in a list. */
type Part = Record<string, unknown>
type Method = (...given: unknown[]) => unknown

/** What each pipeline calls of its parts, and where a sequence of it keeps them. */
const pipelines = {
  normalizer: ['normalize', 'normalizers'],
  pre_tokenizer: ['pre_tokenize', 'tokenizers'],
  post_processor: ['post_process', 'processors'],
  decoder: ['decode_chain', 'decoders'],
} as const

/**
 * Makes a tokenizer and limits what its `encode` and `decode` take.
 *
 * @throws what `make` throws, or Error for a limit that is exceeded, as do `encode` and `decode`
 */
export function limitedLibrary(make: () => LibraryTokenizer): LibraryTokenizer {
  const limited = new TimeLimited(limitMs)
  const library = limited.run(make)
  let limit = freeSize
  const check = (result: unknown) => {
    if (sizeOf(result) > limit) throw new Error('its parts make much more of a text than it is')
    return result
  }
  for (const [name, [method, list]] of Object.entries(pipelines))
    watch((library as unknown as Record<string, Part | null>)[name], method, list, check)
  const within = <T>(given: { length: number }, work: () => T) => {
    limit = freeSize + sizePerCharacter * given.length
    return limited.run(work)
  }
  const { encode, decode } = library
  library.encode = (text, options) => within(text, () => encode.call(library, text, options))
  library.decode = (ids, options) => within(ids, () => decode.call(library, ids, options))
  return library
}

/** Checks what every part gives, before the next one takes it. */
function watch(part: Part | null | undefined, method: string, list: string, check: (result: unknown) => unknown): void {
  if (!part) return
  for (const inner of (part[list] ?? []) as Part[]) watch(inner, method, list, check)
  const given = part[method] as Method
  part[method] = (...values: unknown[]) => check(given.apply(part, values))
}

function sizeOf(result: unknown): number {
  if (typeof result === 'string') return result.length
  if (Array.isArray(result)) return result.reduce((sum: number, text: string) => sum + 1 + text.length, 0)
  return sizeOf((result as { tokens: unknown }).tokens)
}
