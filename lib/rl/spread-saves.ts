/** Snapshots of a run whose optimizers are spread over its ranks: rank 0 says when one is written, and all give what they have. */
import { MagrpoError } from '../base/errors.ts'
import type { Ranks } from './backend/ranks.ts'
import type { TrainingBackend } from './backend/training-backend.ts'
import type { Snapshot } from './types/sink.ts'

/** What rank 0 says: that it writes a snapshot, that it goes on with the run, or that its run is over. */
type Word = 'save' | 'on' | 'end'

/** What {@link SpreadSaves} are made of. */
interface SavesParts {
  ranks: Ranks
  weights: TrainingBackend['weights']
  /** Policies that are trained. */
  policies: readonly number[]
  /** Aborted when another rank has failed, so that nobody waits for it. */
  signal: AbortSignal
}

/**
 * The saves of one run. Ranks may meet here at different places, one of them after a step and one at the end of its run, since each hears
 * at another moment that the run is to stop: all of them hear the same words in the same order.
 */
export class SpreadSaves {
  readonly #parts: SavesParts
  #words = 0
  #isOver = false

  constructor(parts: SavesParts) {
    this.#parts = parts
  }

  /**
   * Lets sinks write a snapshot, on all ranks at once. It returns when rank 0 goes on.
   *
   * @param tell calls the sinks with the snapshot, whose `write` works until they return
   * @param word what this rank does afterwards
   * @throws MagrpoError `ERR_RANK` if a rank is gone; what `tell` throws
   */
  async during<S extends Snapshot | null>(
    snapshot: S,
    tell: (snapshot: S) => Promise<void>,
    word: Exclude<Word, 'save'>,
  ): Promise<void> {
    if (this.#parts.ranks.rank === 0) await this.#lead(snapshot, tell, word)
    else {
      await this.#follow(word)
      await tell(snapshot)
    }
  }

  async #lead<S extends Snapshot | null>(snapshot: S, tell: (snapshot: S) => Promise<void>, word: Word): Promise<void> {
    const { weights, policies } = this.#parts
    let last: Promise<unknown> = Promise.resolve()
    let isOpen = true
    const write = async (directory: string): Promise<void> => {
      if (!isOpen)
        throw new MagrpoError(
          'ERR_ARGUMENT',
          'Expected a snapshot of a run with optimizer.sharded to be written before onSnapshot or onEnd returns, but it was later: ' +
            'the ranks have gone on. Call write() there and return its promise.',
        )
      const written = last.then(() => this.#say('save')).then(() => weights.spread!.write(directory, policies))
      last = written.catch(() => {})
      await written
    }
    await tell((snapshot && { ...snapshot, write }) as S)
    isOpen = false
    // A step would move what is being written.
    await last
    await this.#say(word)
  }

  async #follow(word: Word): Promise<void> {
    const { weights, policies } = this.#parts
    while (!this.#isOver) {
      const said = await this.#say(null)
      if (said === 'save') await weights.spread!.write(null, policies)
      this.#isOver = said === 'end'
      if (said === 'on' && word === 'on') return
    }
  }

  async #say(word: Word | null): Promise<Word> {
    const { ranks, signal } = this.#parts
    return (await ranks.gather(`save/${this.#words++}`, word, signal))[0]!
  }
}
