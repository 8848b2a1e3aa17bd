import type { Sampling } from '../model/sampling.ts'
import type { Task } from '../tasks/task/types.ts'
import type { Algorithm } from './options/algorithm.ts'
import type { OptimizerOptions } from './options/optimizer.ts'
import type { RunOptions } from './options/run.ts'
import type { Team } from './team/team.ts'
import type { RunSink } from './types/sink.ts'

/** What {@link train} takes. Give `steps` or `epochs`, not both. */
export interface TrainOptions<Item = unknown> extends RunOptions {
  /** Who learns; `team.agents[i]` plays `task.agents[i]`, names included. */
  team: Team
  task: Task<Item>
  /** Defaults to `magrpo()`. */
  algorithm?: Algorithm
  /**
   * Fields left out come from `task.defaults`, then from {@link Sampling}. What is trained is the distribution these settings
   * sample from, unless the algorithm's `logProbs` is `model`.
   */
  sampling?: Sampling
  optimizer: OptimizerOptions
  /** Who records or shows the run; called one after the other, each awaited. */
  sinks?: readonly RunSink[]
  /** Aborting it rejects the run with its reason; the step under way is dropped. */
  signal?: AbortSignal
}
