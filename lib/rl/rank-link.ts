/** What a run says to the other ranks and hears from them, besides what it gathers in its loop. */
import { dataChecksum } from '../base/data-checksum.ts'
import { MagrpoError } from '../base/errors.ts'
import { describeThrown } from '../base/thrown.ts'
import type { Task } from '../tasks/task/types.ts'
import { fromFirst, type RankMessage, type Ranks } from './backend/ranks.ts'
import type { ResolvedTrainOptions } from './types/options.ts'
import { checksumOf, type RewardCache } from './types/run-store.ts'

/** What a message of another rank does to the run. */
interface Orders {
  stop(): void
  fail(error: MagrpoError): void
}

/** The link of one run. With one rank it does nothing. */
export class RankLink {
  readonly ranks: Ranks
  readonly #orders: Orders
  /** Steps this rank has given its word on. */
  readonly #voted = new Set<number>()
  #rewards: RewardCache | undefined
  /** Verdicts of others that are being written. */
  readonly #kept = new Set<Promise<void>>()
  #isHeard = true

  constructor(ranks: Ranks, orders: Orders) {
    this.ranks = ranks
    this.#orders = orders
  }

  /**
   * Meets the other ranks and compares what they are about to do.
   *
   * @throws MagrpoError `ERR_RANK` if one does not come, or is about to do something else
   */
  async begin(options: ResolvedTrainOptions, { items, heldOut }: Pick<Task, 'items' | 'heldOut'>): Promise<void> {
    const { ranks } = this
    await ranks.begin({
      onMessage: (message) => this.#hear(message),
      onLost: (error) => {
        if (this.#isHeard) this.#orders.fail(error)
      },
    })
    if (ranks.size === 1) return
    // Machines may keep their models in different places.
    const team = options.team.map(({ source: _, ...agent }) => agent)
    const data = { items: await dataChecksum(items), heldOut: await dataChecksum(heldOut ?? []) }
    const facts = await ranks.gather('options', flatten({ ...options, team, data }))
    for (const [rank, other] of facts.entries()) {
      const names = [...new Set([...Object.keys(facts[0]!), ...Object.keys(other)])]
      const name = names.find((each) => facts[0]![each] !== other[each])
      if (name === undefined) continue
      throw new MagrpoError(
        'ERR_RANK',
        `Expected the same configuration and data on every rank, but ${name} is ${other[name]} on rank ${rank} and ${facts[0]![name]} on rank 0.`,
        { details: { rank, name } },
      )
    }
  }

  /** Where verdicts are remembered: on rank 0, which tells the others what it knows, and hears of what they are told. */
  async shareRewards(own: RewardCache | undefined): Promise<RewardCache | undefined> {
    const { ranks } = this
    if (ranks.size === 1) return own
    const known = await fromFirst(ranks, 'verdicts', () => own?.known())
    this.#rewards = own
    if (ranks.rank === 0 || known === undefined) return own
    const byPlace = new Map(known.map((verdict) => [verdict.place, verdict]))
    return {
      recall: (place, joint) => {
        const verdict = byPlace.get(place)
        byPlace.delete(place)
        return verdict?.of === checksumOf(joint) ? verdict.outcome : undefined
      },
      keep: async (place, joint, outcome) => {
        // Agents' names on a joint completion are getters, which do not travel.
        ranks.tell({ kind: 'verdict', place, joint: joint.map((completion) => ({ ...completion })), outcome }, 0)
      },
      known: () => [],
    }
  }

  /** Whether all ranks go on with a step; once one has said so, it is bound until the step has ended. */
  async agree(step: number): Promise<boolean> {
    if (this.ranks.size === 1) return true
    this.#voted.add(step)
    return (await this.ranks.gather(`go/${step}`, true)).every(Boolean)
  }

  /** Says that this rank does not go on with a step, and why, so that no rank waits for it. */
  leave(step: number, why: RankMessage): void {
    const { ranks } = this
    if (ranks.size === 1) return
    ranks.tell(why)
    if (!this.#voted.has(step)) ranks.gather(`go/${step}`, false).catch(() => {})
    this.#voted.add(step)
  }

  /**
   * The run is over: what comes from now on does not count.
   *
   * @param isTogether whether all ranks end at this point: verdicts that are on their way are then kept
   */
  async end(isTogether: boolean): Promise<void> {
    this.#isHeard = false
    // A rank that has failed does not come; that is no news any more.
    if (isTogether && this.ranks.size > 1) await this.ranks.gather('end', null).catch(() => {})
    await Promise.allSettled(this.#kept)
    this.ranks.end()
  }

  #hear(message: RankMessage): void {
    if (message.kind === 'verdict') {
      const { place, joint, outcome } = message
      const kept = this.#rewards?.keep(place, joint, outcome).catch((error: unknown) => {
        this.#orders.fail(new MagrpoError('ERR_RUN', describeThrown(error), { cause: error }))
      })
      if (kept === undefined) return
      this.#kept.add(kept)
      void kept.finally(() => this.#kept.delete(kept))
    } else if (!this.#isHeard) return
    else if (message.kind === 'stop') this.#orders.stop()
    else this.#orders.fail(new MagrpoError('ERR_RANK', message.message))
  }
}

/** The leaves of a plain value by their paths, as text. */
function flatten(value: unknown, path = ''): Record<string, string> {
  if (typeof value !== 'object' || value === null) return { [path]: String(value) }
  const entries = Object.entries(value).map(([name, inner]) => flatten(inner, path === '' ? name : `${path}.${name}`))
  return Object.assign({}, ...entries)
}
