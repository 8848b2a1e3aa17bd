/** Work that would take more memory than is free is refused: Linux would kill the process in the middle of it. */
import { OutOfMemoryError } from '../errors.ts'
import { type FreeMemory, freeMemoryOf, limitOf } from '../native/free-memory.ts'
import { formatBytes } from '../ui/format.ts'
import { cacheBytesPerToken, generationBytes } from './memory-terms.ts'
import type { Model } from './model.ts'

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

/** Batches below this are not worth asking the system for. */
const smallBytes = 64 * 2 ** 20

/**
 * Refuses a batch of completions whose keys, values and logits do not fit.
 *
 * @param tokens slots of the cache: of each prompt once, and of each completion at its full length
 * @throws OutOfMemoryError `ERR_OUT_OF_MEMORY`
 */
export function checkGeneration(
  { config, device, source }: Model,
  batch: { rows: number; promptTokens: number; tokens: number },
  free: (device: string) => FreeMemory = freeMemoryOf,
): void {
  const bytes = batch.tokens * cacheBytesPerToken(config) + generationBytes(config, batch)
  if (bytes < smallBytes) return
  const { bytes: freeBytes, from } = free(device)
  if (bytes <= freeBytes) return
  throw new OutOfMemoryError(
    'ERR_OUT_OF_MEMORY',
    `Expected room for ${batch.rows} completions of "${source}" at once, up to ${formatBytes(bytes)}, but ${formatBytes(freeBytes)} ` +
      `are free${limitOf(from)}. Ask for fewer completions at a time or lower maxNewTokens.`,
    { details: { source, ...batch, bytes, freeBytes, from } },
  )
}
