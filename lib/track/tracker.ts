/** Where the numbers of a run go besides its folder. */

import type { ResolvedTrainOptions } from '../rl/types/options.ts'
import type { EvalReport, StepReport } from '../rl/types/reports.ts'
import type { RunEnd } from '../rl/types/sink.ts'

/** The run a tracker is told about. */
export interface TrackedRun {
  /** Name of the run; that of the run folder's last part, or `run` where nothing is recorded. */
  name: string
  /** Path of the run folder; null where nothing is recorded. */
  folder: string | null
  /** The options with every default filled in; plain JSON. */
  options: ResolvedTrainOptions
}

/**
 * Takes the metrics of a run somewhere: an experiment server, a file of another format, a chat.
 *
 * The four methods are called in the order of the run, one at a time, and training waits for them: a tracker that talks to a
 * network should queue what it is given and send it by itself. An error, or a call that takes longer than
 * `trackerTimeoutMs`, becomes a warning of the run and never ends it.
 *
 * A resumed run calls `start` again; steps may then come a second time, from the checkpoint on.
 */
export interface Tracker {
  /** What warnings call it. */
  readonly name: string
  /** Before any work. If it fails, the other three are not called. */
  start(run: TrackedRun): void | Promise<void>
  /** After each step, with its metrics, timings and logged samples. */
  step(report: StepReport): void | Promise<void>
  /** After each evaluation on held-out items. */
  evaluation(report: EvalReport): void | Promise<void>
  /** When the run has ended, in whatever way: send what is queued and close what is open. */
  end(end: RunEnd): void | Promise<void>
}
