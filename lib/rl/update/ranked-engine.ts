/** An engine whose work is spread over ranks, and whose gradients are summed over slots in an order that ranks do not change. */
import type { Engine, EngineGroup } from '../backend/engine.ts'
import { boundsOf, type Ranks } from '../backend/ranks.ts'

/** How a step is spread. */
interface Spread {
  ranks: Ranks
  step: number
  /** Prompts of the step. */
  slots: number
  /** Whether the gradient is the same bit for bit for any number of ranks. */
  deterministic: boolean
}

/** An engine, and what its sums over ranks have taken so far. */
export interface RankedEngine {
  engine: Engine
  sumSeconds(): number
}

/**
 * The engine of one step. Scores and gradients are computed by the rank whose share a group's slot is in; every rank gets all scores,
 * and a policy moves by the sum of all gradients.
 *
 * With `deterministic` each slot's gradient is computed by itself, and they are added up along a binary tree over slot numbers, as
 * `native/train/slot_sums.h` says.
 */
export function rankedEngine(engine: Engine, { ranks, step, slots, deterministic }: Spread): RankedEngine {
  const { sums } = engine
  if (sums === undefined || (ranks.size === 1 && !deterministic)) return { engine, sumSeconds: () => 0 }
  let sumSeconds = 0
  const bounds = boundsOf(slots, ranks.size)
  const isOwn = ({ slot = 0 }: EngineGroup) => slot >= bounds[ranks.rank]! && slot < bounds[ranks.rank + 1]!
  /** Slots with a gradient, by policy, since its last step. */
  const summed = new Map<number, Set<number>>()
  const sharesOf = (policy: number) => {
    const own = [...(summed.get(policy) ?? [])].sort((a, b) => a - b)
    return { slots: Int32Array.from(own), bounds: Int32Array.from(bounds) }
  }
  let gatherings = 0

  async function spread<T>(
    groups: readonly EngineGroup[],
    signal: AbortSignal | undefined,
    work: (own: EngineGroup[]) => Promise<T[]>,
  ): Promise<{ scores: T[] }> {
    const own = groups.filter(isOwn)
    const scores = own.length === 0 ? [] : await work(own)
    const all = (await ranks.gather(`scores/${step}/${gatherings++}`, scores, signal)).flat()
    // By rank, and so by slot; put back where they belong.
    const places = [...groups.keys()].sort((a, b) => rankOf(groups[a]!) - rankOf(groups[b]!) || a - b)
    const result = new Array<T>(groups.length)
    for (const [index, place] of places.entries()) result[place] = all[index]!
    return { scores: result }
  }
  const rankOf = ({ slot = 0 }: EngineGroup) => bounds.filter((begin) => begin <= slot).length

  /** Slot by slot, where bits may not depend on what is computed together: two slots may hold the same prompt. */
  async function bySlot<T>(
    own: readonly EngineGroup[],
    work: (groups: EngineGroup[]) => Promise<{ scores: T[] }>,
    afterwards: (slot: number, groups: EngineGroup[]) => Promise<void>,
  ): Promise<T[]> {
    const scores = new Map<EngineGroup, T>()
    for (const slot of [...new Set(own.map(({ slot = 0 }) => slot))].sort((a, b) => a - b)) {
      const groups = own.filter((group) => (group.slot ?? 0) === slot)
      const done = await work(groups)
      for (const [index, group] of groups.entries()) scores.set(group, done.scores[index]!)
      await afterwards(slot, groups)
    }
    return own.map((group) => scores.get(group)!)
  }

  async function endSlot(slot: number, groups: readonly EngineGroup[]): Promise<void> {
    for (const policy of new Set(groups.map(({ policy }) => policy)))
      await sums!.endSlot(policy, { slot, rank: ranks.rank, ...sharesOf(policy) })
  }

  const ranked: Engine = {
    generate: (requests, sampling, options) => engine.generate(requests, sampling, options),
    encode: (policy, prompt) => engine.encode(policy, prompt),
    zeroGrad: (policy) => engine.zeroGrad(policy),
    score: (groups, options) =>
      spread(groups, options.signal, async (own) => {
        const work = (some: EngineGroup[]) => engine.score(some, options)
        return deterministic ? bySlot(own, work, async () => {}) : (await work(own)).scores
      }),
    accumulate: (groups, options) => {
      for (const { policy, slot = 0 } of groups) summed.set(policy, (summed.get(policy) ?? new Set()).add(slot))
      return spread(groups, options.signal, async (own) => {
        const work = (some: EngineGroup[]) => engine.accumulate(some, options)
        return deterministic ? bySlot(own, work, endSlot) : (await work(own)).scores
      })
    },
    step: async (policy, options) => {
      const start = performance.now()
      if (deterministic) await sums.sumSlots(policy, sharesOf(policy))
      else await sums.sum(policy)
      sumSeconds += (performance.now() - start) / 1000
      summed.delete(policy)
      return engine.step(policy, options)
    },
  }
  return { engine: ranked, sumSeconds: () => sumSeconds }
}
