/** The ranks that play the same prompts, each with agents of its own. */
import type { GenerateStats, Generation } from '../../model/types.ts'
import { type GridPlace, placeInGrid, type Ranks, rankAt, shareOf, soleRank } from '../backend/ranks.ts'
import type { TrainingBackend } from '../backend/training-backend.ts'
import type { StepItem } from './item-order.ts'

/** What a rank's agents wrote in a turn. */
interface Written {
  generations: Generation[]
  stats: GenerateStats
}

/** Slots of what is played. */
export const slotsOf = (chosen: readonly StepItem[]): number[] => chosen.map(({ slot }) => slot)

/** This rank among those of its row, in one rollout. */
export class Row {
  readonly #ranks: Ranks
  readonly #place: GridPlace
  readonly #columnOf: (policy: number) => number
  readonly #name: string
  /** Slots that this rank judges. */
  readonly #judged: ReadonlySet<number>

  /**
   * @param name of the rollout; no two of a run have the same
   * @param slots that it plays, ascending
   */
  constructor(
    { ranks = soleRank, columnOf = () => 0 }: Pick<TrainingBackend, 'ranks' | 'columnOf'>,
    name: string,
    slots: readonly number[],
  ) {
    this.#ranks = ranks
    this.#place = placeInGrid(ranks)
    this.#columnOf = columnOf
    this.#name = name
    this.#judged = new Set(shareOf(slots, this.#place.column, this.#place.columns))
  }

  /** Whether this rank holds all agents. */
  get isSole(): boolean {
    return this.#place.columns === 1
  }

  /** Whether a policy is one of this rank's. */
  holds(policy: number): boolean {
    return this.#columnOf(policy) === this.#place.column
  }

  /**
   * Whether this rank asks for the rewards of a slot, and for what follows them: one rank does, in all turns. In the order of the slots,
   * what the ranks judged follows one another by column.
   */
  judges(slot: number): boolean {
    return this.#judged.has(slot)
  }

  /** What the ranks of the row give under a name, by column. */
  gather<T>(name: string, value: T, signal?: AbortSignal): Promise<T[]> {
    const { columns, row } = this.#place
    const members = Array.from({ length: columns }, (_, column) => rankAt(this.#place, column, row))
    return this.#ranks.gather(`${this.#name}/${name}/row/${row}`, value, signal, members)
  }

  /**
   * What all agents of the row wrote, in the order of the requests.
   *
   * @param policies of all requests, in their order
   * @param own what this rank's wrote, which goes on without tokens that a sampler kept: who trains them has them
   */
  async together(name: string, policies: readonly number[], own: Written, signal?: AbortSignal): Promise<Written> {
    const generations = own.generations.map(({ samples, ...rest }) => ({
      ...rest,
      samples: samples.map(({ kept: _, ...sample }) => sample),
    }))
    const all = await this.gather(name, { ...own, generations }, signal)
    all[this.#place.column] = own
    const next = all.map(() => 0)
    return {
      generations: policies.map((policy) => {
        const column = this.#columnOf(policy)
        return all[column]!.generations[next[column]!++]!
      }),
      stats: { ...own.stats, newTokens: all.reduce((sum, { stats }) => sum + stats.newTokens, 0) },
    }
  }
}
