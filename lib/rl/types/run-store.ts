/** Where a run is kept beyond the life of its process, as the trainer sees it. Files are the matter of `lib/run`. */
import { createHash } from 'node:crypto'
import type { Joint } from '../../tasks/task/completion.ts'
import type { ResolvedTrainOptions } from './options.ts'
import type { RunSink, RunState } from './sink.ts'

/** Verdicts that were given already, so that none is asked for twice. */
export interface RewardCache {
  /**
   * The verdict on a joint completion, if it is known.
   *
   * @param place which joint completion of the run it is, see `RolloutPlan.rewards`
   */
  recall(place: string, joint: Joint): RewardOutcome | undefined
  /** Takes down a verdict; it is kept when the promise settles. */
  keep(place: string, joint: Joint, outcome: RewardOutcome): Promise<void>
  /** All that {@link recall} knows, for other processes of the run. */
  known(): KnownVerdict[]
}

/** A verdict that was given, and the {@link checksumOf} what it was given for. */
export interface KnownVerdict {
  place: string
  of: string
  outcome: RewardOutcome
}

/** What a verdict is remembered by, besides its place: another text in the same place gets one of its own. */
export function checksumOf(joint: Joint): string {
  const hash = createHash('sha256')
  for (const { text, ids, finish } of joint) {
    hash.update(JSON.stringify([text, finish]))
    hash.update(new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength))
  }
  return hash.digest('hex').slice(0, 16)
}

/** Where an earlier process left a run. */
export interface RunOrigin {
  state: RunState
  /** Folder with what `Snapshot.write` wrote. */
  directory: string
}

/** What an opened {@link RunStore} holds. */
export interface OpenedRun {
  /** Where the run goes on, null for its beginning. */
  origin: RunOrigin | null
  rewards: RewardCache
}

/**
 * Keeps one run. The trainer opens it before any work, then tells it of the run as it tells the sinks, and before them. `onEnd` closes
 * it; it is called even if `open` rejected.
 */
export interface RunStore extends Omit<RunSink, 'onStart'> {
  open(options: ResolvedTrainOptions): Promise<OpenedRun>
}

/** What a reward said. */
export interface RewardOutcome {
  /** Null: it abstained. */
  reward: number | null
  parts: Record<string, number>
  /** Why there is no more, if the reward says. */
  reason?: string
  /** How often its call was made again, where that is counted. */
  retries?: number
  /** Of a job that has any. */
  metrics?: Record<string, number>
}
