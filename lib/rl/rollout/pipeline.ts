/** Rollouts that are under way ahead of the update, so that slow rewards do not hold up what the models do. */
import type { Rollout } from './rollout.ts'

/** Starts the rollout of a step; `onGenerated` is called when its last token is there, rewards may follow. */
type StartRollout = (step: number, how: { signal: AbortSignal; onGenerated(): void }) => Promise<Rollout>

/** A rollout that has been started. */
interface Started {
  rollout: Promise<Rollout>
  /** Resolves with the last token, or when there will be none. */
  generated: Promise<void>
}

/**
 * The rollouts of a run, at most `depth` steps ahead of the one that is taken. They generate one after the other, and rewards of
 * earlier ones run meanwhile.
 *
 * Step k is taken only when all that was started has been generated, and its update moves the weights before any other is. So the
 * samples of step k are of the weights after step k - 1 - depth, however long anything takes: a pipelined run repeats as any other.
 */
export class RolloutPipeline {
  readonly #depth: number
  readonly #lastStep: number
  readonly #start: StartRollout
  readonly #signal: AbortSignal
  readonly #own = new AbortController()
  readonly #started = new Map<number, Started>()
  #newest: Promise<void> = Promise.resolve()

  /** @param signal aborting it ends all that is under way, with its reason */
  constructor(depth: number, lastStep: number, signal: AbortSignal, start: StartRollout) {
    this.#depth = depth
    this.#lastStep = lastStep
    this.#start = start
    this.#signal = AbortSignal.any([signal, this.#own.signal])
  }

  /**
   * The rollout of a step, rewards included; those of the steps after it are started, as many as may be.
   *
   * @throws what the rollout throws
   */
  async take(step: number): Promise<Rollout> {
    for (let ahead = step; ahead <= Math.min(step + this.#depth, this.#lastStep); ahead++)
      if (!this.#started.has(ahead)) this.#begin(ahead)
    const { rollout } = this.#started.get(step)!
    const result = await rollout
    await Promise.all([...this.#started.values()].map(({ generated }) => generated))
    this.#started.delete(step)
    return result
  }

  /** Ends what is under way and waits for it. */
  async close(): Promise<void> {
    this.#own.abort(new Error('The run has ended.'))
    await Promise.allSettled([...this.#started.values()].map(({ rollout }) => rollout))
  }

  #begin(step: number): void {
    const earlier = this.#newest
    let onGenerated!: () => void
    this.#newest = new Promise((resolve) => {
      onGenerated = resolve
    })
    const rollout = earlier.then(() => this.#start(step, { signal: this.#signal, onGenerated }))
    // A failure is for who takes this step, if anybody does.
    rollout.catch(() => {}).finally(onGenerated)
    this.#started.set(step, { rollout, generated: this.#newest })
  }
}
