import { createHash } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'

/** Hashing may keep the event loop for so long. */
const busyLimitMs = 8

/**
 * A checksum of items as JSON has them: a run that is resumed must see the data it began with. Items that are no JSON are counted
 * only.
 */
export async function dataChecksum(items: readonly unknown[]): Promise<string> {
  const hash = createHash('sha256')
  let lastPause = performance.now()
  for (const item of items) {
    try {
      hash.update(`${JSON.stringify(item)}\n`)
    } catch {
      return `${items.length} items`
    }
    if (performance.now() - lastPause > busyLimitMs) {
      await setImmediate()
      lastPause = performance.now()
    }
  }
  return hash.digest('hex').slice(0, 16)
}
