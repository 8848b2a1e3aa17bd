/**
 * The processes that train one team together, as the trainer sees them. A run is the same for any number of them: each plays the
 * prompts of its share of a step, all of them hear of everything that was played, and gradients are summed. So every rank knows the
 * whole step, computes the same metrics and makes the same decisions; rank 0 alone writes.
 *
 * Ranks form a grid. Those of a column hold the same agents, and sum their gradients; those of a row play the same prompts, and tell each
 * other what their agents wrote. With one column every rank holds all agents. Ranks of a column follow one another, so that gradients stay
 * within a machine where they can.
 */
import type { MagrpoError } from '../../base/errors.ts'
import type { Joint } from '../../tasks/task/completion.ts'
import type { RewardOutcome } from '../types/run-store.ts'

/** What ranks tell each other unasked. */
export type RankMessage =
  /** A rank was asked to stop: all do, after the same step. */
  | { kind: 'stop' }
  /** A rank failed: all do. */
  | { kind: 'failed'; message: string }
  /** A verdict, for rank 0 to keep. */
  | { kind: 'verdict'; place: string; joint: Joint; outcome: RewardOutcome }

/** Hears what others say while a run goes on. */
export interface RankListener {
  onMessage(message: RankMessage): void
  /** Called once: another rank is gone. */
  onLost(error: MagrpoError): void
}

/** The ranks of one run. */
export interface Ranks {
  readonly rank: number
  readonly size: number
  /** Columns of the grid; they divide {@link size}. */
  readonly columns: number
  /**
   * Meets the others.
   *
   * @throws MagrpoError `ERR_RANK` if one does not come in time
   */
  begin(listener: RankListener): Promise<void>
  /** Makes this rank compute as rank 0 does, to the last bit, once that is settled. */
  alike(): Promise<void>
  /**
   * Gives a value, which v8 can serialize, and gets those of all members, in their order. Every member gives one under the same name, and
   * no name is used twice.
   *
   * @param members this rank among them; default: all ranks
   * @throws the signal's reason; the value is given all the same
   */
  gather<T>(name: string, value: T, signal?: AbortSignal, members?: readonly number[]): Promise<T[]>
  /** Sends a message to one rank, or to all others. */
  tell(message: RankMessage, to?: number): void
  /** Stops listening. */
  end(): void
}

/** A run of one process. */
export const soleRank: Ranks = {
  rank: 0,
  size: 1,
  columns: 1,
  begin: async () => {},
  alike: async () => {},
  gather: async (_, value) => [value],
  tell: () => {},
  end: () => {},
}

/** Where a rank stands in the grid. */
export interface GridPlace {
  column: number
  columns: number
  row: number
  rows: number
}

/** The place of a rank. */
export function placeInGrid({ rank, size, columns }: Pick<Ranks, 'rank' | 'size' | 'columns'>): GridPlace {
  const rows = size / columns
  return { column: Math.floor(rank / rows), columns, row: rank % rows, rows }
}

/** The rank at a place of the grid. */
export function rankAt({ rows }: Pick<GridPlace, 'rows'>, column: number, row: number): number {
  return column * rows + row
}

/** Where each rank's share of `count` slots begins, and at the end `count`: contiguous, and as even as can be. */
export function boundsOf(count: number, size: number): number[] {
  return Array.from({ length: size + 1 }, (_, rank) => Math.floor((rank * count) / size))
}

/** Share `index` of `count` shares of a list. */
export function shareOf<T>(list: readonly T[], index: number, count: number): T[] {
  const bounds = boundsOf(list.length, count)
  return list.slice(bounds[index], bounds[index + 1])
}

/** What the row of a rank plays of a list of prompts. */
export function rowShare<T>(list: readonly T[], ranks: Ranks): T[] {
  const { row, rows } = placeInGrid(ranks)
  return shareOf(list, row, rows)
}

/** The value of rank 0, which alone makes it. */
export async function fromFirst<T>(ranks: Ranks, name: string, make: () => T | Promise<T>): Promise<T> {
  const made = ranks.rank === 0 ? await make() : undefined
  return (await ranks.gather(name, made))[0] as T
}
