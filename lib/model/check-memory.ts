/** Work that would take more memory than is free is refused: Linux would kill the process in the middle of it. */
import { OutOfMemoryError } from '../base/errors.ts'
import { formatBytes } from '../base/format.ts'
import type { NativeModelConfig } from '../native/addon-types.ts'
import { type FreeMemory, freeMemoryOf, limitOf } from '../native/free-memory.ts'
import { cacheBytesPerToken, generationBytes } from './memory-terms.ts'

/**
 * Refuses to load weights that do not fit.
 *
 * @throws OutOfMemoryError `ERR_OUT_OF_MEMORY`
 */
export function checkWeights(source: string, bytes: number, free: FreeMemory): void {
  if (bytes <= free.bytes) return
  throw new OutOfMemoryError(
    'ERR_OUT_OF_MEMORY',
    `Expected room for the weights of "${source}", ${formatBytes(bytes)}, but ${formatBytes(free.bytes)} are free` +
      `${limitOf(free.from)}. Load it in bfloat16 (team.dtype), share one base between agents (team.adapter with a rank instead of ` +
      '"full"), or take a smaller model.',
    { details: { source, bytes, freeBytes: free.bytes, from: free.from } },
  )
}

/** What the checks need of a model. */
interface SizedModel {
  source: string
  device: string
  config: NativeModelConfig
}

/** What is below this is not worth asking the system for. */
const smallBytes = 64 * 2 ** 20

/**
 * Refuses to make a policy whose own weights do not fit.
 *
 * @param what its weights, for the message
 * @throws OutOfMemoryError `ERR_OUT_OF_MEMORY`
 */
export function checkPolicy(
  { device, source }: Pick<SizedModel, 'device' | 'source'>,
  what: string,
  bytes: number,
): void {
  if (bytes < smallBytes) return
  const { bytes: freeBytes, from } = freeMemoryOf(device)
  if (bytes <= freeBytes) return
  throw new OutOfMemoryError(
    'ERR_OUT_OF_MEMORY',
    `Expected room for ${what} of "${source}", ${formatBytes(bytes)}, but ${formatBytes(freeBytes)} are free${limitOf(from)}. ` +
      'Lower its size (the rank of an adapter, hiddenSize of a value head), or train adapters in place of all weights.',
    { details: { source, bytes, freeBytes, from } },
  )
}

/** Completions of one model. */
export interface Batch {
  model: SizedModel
  rows: number
  /** Of distinct prompts. */
  promptTokens: number
  /** Slots of the cache: of each distinct prompt once, and of each completion at its full length. */
  tokens: number
}

/**
 * Refuses completions whose keys, values and logits do not fit.
 *
 * @param atOnce whether all batches of a device are decoded at once; else one after the other
 * @throws OutOfMemoryError `ERR_OUT_OF_MEMORY`
 */
export function checkGeneration(batches: readonly Batch[], { atOnce }: { atOnce: boolean }): void {
  const bytesOf = ({ model: { config }, ...batch }: Batch) =>
    batch.tokens * cacheBytesPerToken(config) + generationBytes(config, batch)
  const together = new Map<string, Batch[]>()
  for (const [index, batch] of batches.entries()) {
    const key = atOnce ? batch.model.device : String(index)
    together.set(key, [...(together.get(key) ?? []), batch])
  }
  for (const group of together.values()) {
    const bytes = group.reduce((sum, batch) => sum + bytesOf(batch), 0)
    if (bytes < smallBytes) continue
    const { device, source } = group[0]!.model
    const { bytes: freeBytes, from } = freeMemoryOf(device)
    if (bytes <= freeBytes) continue
    const rows = group.reduce((sum, batch) => sum + batch.rows, 0)
    throw new OutOfMemoryError(
      'ERR_OUT_OF_MEMORY',
      `Expected room for ${rows} completions of "${source}" at once, up to ${formatBytes(bytes)}, but ${formatBytes(freeBytes)} ` +
        `are free${limitOf(from)}. Ask for fewer completions at a time or lower maxNewTokens.`,
      { details: { source, rows, bytes, freeBytes, from } },
    )
  }
}
