/** An engine whose work is spread over ranks, and whose gradients are summed over slots in an order that ranks do not change. */
import type { StepOptions } from '../../model/step-options.ts'
import type { StepResult } from '../../model/types.ts'
import type { Engine, EngineGroup, SlotShares } from '../backend/engine.ts'
import { boundsOf, placeInGrid, type Ranks, rankAt } from '../backend/ranks.ts'

/** How a step is spread. */
interface Spread {
  ranks: Ranks
  /** Column of the ranks that hold a policy. */
  columnOf(policy: number): number
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
 * The engine of one step. Scores and gradients are computed by the rank that holds a group's policy and whose share its slot is in; every
 * rank gets all scores, and a policy moves by the sum of all gradients of its column.
 *
 * With `deterministic` each slot's gradient is computed by itself, and they are added up along a binary tree over slot numbers, as
 * `native/train/slot_sums.h` says.
 */
export function rankedEngine(engine: Engine, { ranks, columnOf, step, slots, deterministic }: Spread): RankedEngine {
  const { sums } = engine
  if (sums === undefined || (ranks.size === 1 && !deterministic)) return { engine, sumSeconds: () => 0 }
  let sumSeconds = 0
  const place = placeInGrid(ranks)
  const { row, rows, columns } = place
  const bounds = boundsOf(slots, rows)
  const holds = (policy: number) => columnOf(policy) === place.column
  const rankOf = ({ policy, slot = 0 }: EngineGroup) =>
    rankAt(place, columnOf(policy), bounds.filter((begin) => begin <= slot).length - 1)
  const isOwn = (group: EngineGroup) => rankOf(group) === ranks.rank
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
      await sums!.endSlot(policy, { slot, rank: row, ...sharesOf(policy) })
  }

  const ranked: Engine = {
    generate: (requests, sampling, options) => engine.generate(requests, sampling, options),
    encode: (policy, prompt) => engine.encode(policy, prompt),
    zeroGrad: async (policy) => {
      if (holds(policy)) await engine.zeroGrad(policy)
    },
    score: (groups, options) =>
      spread(groups, options.signal, async (own) => {
        const work = (some: EngineGroup[]) => engine.score(some, options)
        return deterministic ? bySlot(own, work, async () => {}) : (await work(own)).scores
      }),
    accumulate: (groups, options) => {
      for (const { policy, slot = 0 } of groups) summed.set(policy, (summed.get(policy) ?? new Set()).add(slot))
      return spread(groups, options.signal, async (own) => {
        const work = (some: EngineGroup[]) => engine.accumulate(some, options)
        const scores = deterministic ? await bySlot(own, work, endSlot) : (await work(own)).scores
        // What nobody reads need not travel.
        return scores.map((score) => ({ ...score, entropies: [] }))
      })
    },
    step: async (policy, options) => {
      const shares = sharesOf(policy)
      summed.delete(policy)
      const name = `moved/${step}/${gatherings++}`
      const moved = holds(policy) ? await inTurn(() => move(policy, shares, options)) : null
      if (columns === 1) return moved!
      return (await ranks.gather(name, moved))[rankAt(place, columnOf(policy), 0)]!
    },
  }

  /** Ranks exchange tensors in the same order: policies of one column move one after the other, whatever devices they are on. */
  let last: Promise<unknown> = Promise.resolve()
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (rows === 1) return work()
    const done = last.then(work)
    last = done.catch(() => {})
    return done
  }

  async function move(policy: number, shares: SlotShares, options: StepOptions): Promise<StepResult> {
    const start = performance.now()
    if (deterministic) await sums!.sumSlots(policy, shares)
    else if (rows > 1) await sums!.sum(policy)
    sumSeconds += (performance.now() - start) / 1000
    return engine.step(policy, options)
  }

  return { engine: ranked, sumSeconds: () => sumSeconds }
}
