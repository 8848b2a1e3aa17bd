import { OutOfMemoryError } from '../errors.ts'
import { type FreeMemory, freeMemory, limitOf } from '../native/free-memory.ts'
import { formatBytes } from '../ui/format.ts'

/**
 * Refuses to load weights that do not fit.
 *
 * @throws OutOfMemoryError `ERR_OUT_OF_MEMORY`
 */
export function checkWeights(source: string, bytes: number, free: FreeMemory = freeMemory()): void {
  if (bytes <= free.bytes) return
  throw new OutOfMemoryError(
    'ERR_OUT_OF_MEMORY',
    `Expected room for the weights of "${source}", ${formatBytes(bytes)}, but ${formatBytes(free.bytes)} are free` +
      `${limitOf(free.from)}. Load it in bfloat16 (team.dtype), share one base between agents (team.adapter with a rank instead of ` +
      '"full"), or take a smaller model.',
    { details: { source, bytes, freeBytes: free.bytes, from: free.from } },
  )
}
