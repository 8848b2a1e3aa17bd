/** What a run remembers beyond the life of its process, as the trainer sees it. Files are the matter of `lib/run`. */
import type { Joint } from '../../tasks/task/completion.ts'
import type { RunState } from './sink.ts'

/** Verdicts that were given already, so that none is asked for twice. */
export interface RewardMemory {
  /**
   * The verdict on a joint completion, if it is known.
   *
   * @param place which joint completion of the run it is, see `RolloutPlan.rewards`
   */
  recall(place: string, joint: Joint): RewardOutcome | undefined
  /** Takes down a verdict; it is kept when the promise settles. */
  keep(place: string, joint: Joint, outcome: RewardOutcome): Promise<void>
}

/** Where an earlier process left a run. */
export interface RunOrigin {
  state: RunState
  /** Folder with what `Snapshot.write` wrote. */
  directory: string
}

/** The memory of one run. */
export interface RunMemory {
  /** Where the run goes on, null for its beginning. Called once, after the sinks' `onStart`. */
  origin(): RunOrigin | null | Promise<RunOrigin | null>
  rewards: RewardMemory
}

/** What a reward said. */
export interface RewardOutcome {
  reward: number
  parts: Record<string, number>
  /** Why there is no more, if the reward says. */
  reason?: string
  /** Of a job that has any. */
  metrics?: Record<string, number>
}
