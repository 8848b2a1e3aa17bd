/** Decides when a run is checkpointed, and writes checkpoints beside training. */
import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { RunState, Snapshot } from '../rl/types/sink.ts'
import type { CheckpointOptions } from './checkpoint-options.ts'
import type { CheckpointState, CheckpointStore, LineBytes } from './checkpoint-store.ts'

/** What a {@link Checkpointer} is made of. */
interface CheckpointerParts extends Required<CheckpointOptions> {
  store: CheckpointStore
  options: ResolvedTrainOptions
  data: Pick<CheckpointState['data'], 'items' | 'heldOut'>
  /** What the run goes on from, which needs no checkpoint of its own; null at its beginning. */
  origin: RunState | null
  /** Bytes that each file has now. */
  lines(): LineBytes
  /** Hands what these bytes are to the disk. */
  syncLines(): Promise<unknown>
}

/**
 * Writes the checkpoints of one run, one at a time. The core is handed the weights at once; bytes, checksums and syncs are waited for
 * by nobody but the next checkpoint.
 */
export class Checkpointer {
  readonly #parts: CheckpointerParts
  #pending: Promise<void> = Promise.resolve()
  #failure: { error: unknown } | undefined
  /** What the newest checkpoint stands for, written or under way. */
  #newest: string

  constructor(parts: CheckpointerParts) {
    this.#parts = parts
    this.#newest = parts.origin === null ? '' : nameOf(parts.origin)
  }

  /**
   * Takes a checkpoint of a snapshot if it is time for one.
   *
   * @throws MagrpoError `ERR_RUN` if the one before could not be written
   */
  async offer(snapshot: Snapshot): Promise<void> {
    this.#throwFailure()
    if (this.#isDue(snapshot.state)) await this.#begin(snapshot)
  }

  /**
   * Waits for what is under way, and takes a last checkpoint unless there is one of this state already.
   *
   * @param snapshot null: take none
   * @throws MagrpoError `ERR_RUN` if a checkpoint could not be written
   */
  async finish(snapshot: Snapshot | null): Promise<void> {
    await this.#pending
    this.#throwFailure()
    if (snapshot !== null && snapshot.state.step > 0 && nameOf(snapshot.state) !== this.#newest) {
      await this.#begin(snapshot)
      await this.#pending
      this.#throwFailure()
    }
  }

  #isDue({ step, best }: RunState): boolean {
    const { checkpointEvery, options } = this.#parts
    const isTime = checkpointEvery > 0 && step % checkpointEvery === 0
    return isTime || step === options.steps || (options.keepBest && best?.index === step)
  }

  /** Returns when the snapshot is in the core's hands. */
  async #begin(snapshot: Snapshot): Promise<void> {
    await this.#pending
    this.#throwFailure()
    const { store, options, data, lines, syncLines, keepCheckpoints } = this.#parts
    const run = snapshot.state
    this.#newest = nameOf(run)
    const state: CheckpointState = { run, options, data: { ...positionOf(run, options), ...data }, lines: lines() }
    await new Promise<void>((handedOver) => {
      const write = (directory: string) => {
        const written = snapshot.write(directory)
        handedOver()
        return Promise.all([written, syncLines()]).then(() => {})
      }
      this.#pending = store
        .write(state, write)
        .then(() => store.prune(Math.max(1, keepCheckpoints), run.best === null ? [] : [run.best.index]))
        .catch((error: unknown) => {
          this.#failure = { error }
        })
        .finally(handedOver)
    })
  }

  #throwFailure(): void {
    const failure = this.#failure
    this.#failure = undefined
    if (failure) throw failure.error
  }
}

/** A state by the work that is done in it. */
const nameOf = ({ step, last }: RunState) => `${step} ${last?.index ?? ''}`

function positionOf(
  { step }: RunState,
  { promptsPerStep, task }: ResolvedTrainOptions,
): Pick<CheckpointState['data'], 'epoch' | 'position'> {
  const used = step * promptsPerStep
  return { epoch: Math.floor(used / task.items), position: used % task.items }
}
