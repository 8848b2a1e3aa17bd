/** Long and short work for the tests of processes: a golden model with a long context, passes of many micro-batches. */
import type { ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import type { PolicyGroup } from '../../lib/model/policy.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { openModel } from './open-model.ts'
import { tinyModel } from './tiny-model.ts'

/** A folder with a context of 4,096 tokens and no end ids: what is generated from it goes on for long. */
export const endlessFolder = (): string => tinyModel({ name: 'llama', config: { max_position_embeddings: 4096 } })

/** The model of {@link endlessFolder}. */
export const endlessModel = (t: ExecutionContext): Promise<Model> => openModel(t, endlessFolder())

export const prompt = Int32Array.from([5, 17, 80])

/** Two thousand steps of eight rows. */
export const longGeneration = { maxNewTokens: 2000, count: 8 }

/** One pass a group under `manyPasses`. */
export const manyGroups: PolicyGroup[] = Array.from({ length: 300 }, (_, i) => ({
  promptIds: Int32Array.from([i % 128, 3]),
  completions: [{ ids: new Int32Array(30).fill(i % 100), weights: new Float32Array(30).fill(0.01) }],
}))

/** As many micro-batches as groups. */
export const manyPasses = { maxTokensPerMicroBatch: 1 }

/** Lets the event loop turn until `isDone`; a test that waits in vain is ended by ava. */
export async function turnUntil(isDone: () => boolean): Promise<void> {
  while (!isDone()) await new Promise((resolve) => setImmediate(resolve))
}

/** Waits until no native job is left: a job's memory goes a moment after its promise. */
export const idle = (): Promise<void> => turnUntil(() => loadAddon().liveObjects().jobs === 0)
