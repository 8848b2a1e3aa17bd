/** How the models of one batch share the processor. */
import { loadAddon } from '../native/load-addon.ts'
import type { Model } from './model.ts'
import { throwFirst } from './token-tree.ts'

/**
 * Bytes of weights up to which threads that never wait for each other are worth more than weights that stay in the caches:
 * generation for two models of 17 MB took 68 ms side by side and 90 in turn, for two of 117 MB 757 and 547.
 */
const largestOnOneThread = 64 * 2 ** 20

/**
 * Whether models run side by side on one thread each rather than one after the other on all: where they are small, of about equal
 * size and enough for all threads. It depends on the models and the machine's settings alone, and so does what they compute.
 */
export function takeOneThreadEach(models: readonly Model[]): boolean {
  const { threads } = loadAddon().info()
  const sizes = models.map((model) => model.weightBytes)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const largest = Math.max(...sizes)
  const areEqual = largest * threads <= total * 1.25
  return threads > 1 && models.every(({ device }) => device === 'cpu') && areEqual && largest <= largestOnOneThread
}

/** How many of the models compute at the same time: one in turn, or as many as there are threads. */
export function modelsAtOnce(models: readonly Model[]): number {
  return takeOneThreadEach(models) ? Math.min(models.length, loadAddon().info().threads) : 1
}

/** What a batch has for one model: `run` makes its native call. */
export interface ModelCall {
  model: Model
  run(): Promise<void>
}

/**
 * Runs the calls: all at once, or those of a device one after the other, since a model whose weights have just been read is
 * quicker than one that took turns with others at every token.
 *
 * It waits for all that was begun before it throws, so that no native call is left running behind an error.
 */
export async function runCalls(calls: readonly ModelCall[], options: { sideBySide: boolean }): Promise<void> {
  const lines = new Map<unknown, ModelCall[]>()
  for (const call of calls) {
    const key = options.sideBySide ? call : call.model.device
    lines.set(key, [...(lines.get(key) ?? []), call])
  }
  const runLine = async (line: readonly ModelCall[]) => {
    for (const { run } of line) await run()
  }
  throwFirst(await Promise.allSettled([...lines.values()].map(runLine)))
}
