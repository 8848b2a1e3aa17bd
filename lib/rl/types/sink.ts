/**
 * What a training run takes, reports and is recorded through. Plain data: nothing here knows of files, terminals or
 * tensors. Whoever records or shows a run implements {@link RunSink}.
 */
import type { ResolvedTrainOptions } from './options.ts'
import type { EvalReport, EvalStart, RunWarning, StepReport, WatchState } from './reports.ts'

/** Writes all agents' weights, one folder per agent, while training waits. */
export type SaveTeam = (directory: string) => Promise<void>

/**
 * Where a run stands between two steps: all that it goes on from besides weights and moments. Plain JSON. Orders of items, random
 * numbers and learning rates are functions of the step, so that no further counters exist.
 */
export interface RunState {
  /** Steps done. */
  step: number
  skippedSteps: number
  /** Wall time so far. */
  seconds: number
  best: EvalReport | null
  /** The last evaluation; the one that is due after `step` is still to come if its `index` is smaller. */
  last: EvalReport | null
  warnings: WatchState
}

/** A moment between two steps at which a run can be taken up again. */
export interface Snapshot {
  state: RunState
  /**
   * Writes weights and moments of all policies that are trained, critics included, as files into a folder that exists. They are
   * those at the time of the call, which returns at once; training may go on while the promise is pending.
   */
  write(directory: string): Promise<void>
}

/** How a run ended. */
export interface RunEnd {
  /** `finished`: all steps; `stopped`: by `run.stop()` or by leaving the loop; `aborted`: the signal; `failed`: an error. */
  reason: 'finished' | 'stopped' | 'aborted' | 'failed'
  /** Steps done; the weights are those after the last of them. */
  steps: number
  /** Wall time of the run. */
  seconds: number
  best: EvalReport | null
  last: EvalReport | null
  /** The error of `aborted` and `failed`. */
  error?: unknown
}

/** What `run.result` resolves to. */
export type RunResult = RunEnd & { reason: 'finished' | 'stopped' }

/**
 * Through which a run is recorded or shown. Calls come in the order of the run, one at a time, and are awaited;
 * an error thrown by one ends the run. Weights do not change during a call.
 */
export interface RunSink {
  /** Before any work. */
  onStart?(options: ResolvedTrainOptions): void | Promise<void>
  /** After each step. */
  onStep?(report: StepReport): void | Promise<void>
  /** Before an evaluation, which may take long. */
  onEvalStart?(start: EvalStart): void | Promise<void>
  /** After each evaluation. */
  onEval?(report: EvalReport): void | Promise<void>
  /** The evaluation just reported is the best so far; only with `keepBest`. The one before training counts too. */
  onBest?(report: EvalReport, save: SaveTeam): void | Promise<void>
  /** When a warning is raised. */
  onWarning?(warning: RunWarning): void | Promise<void>
  /** After each step with all that belongs to it: nothing that was reported before comes again if a run is taken up here. */
  onSnapshot?(snapshot: Snapshot): void | Promise<void>
  /**
   * Always the last call, also after an error; the weights to save are those of the last full step in every case.
   *
   * @param snapshot null where there is none: an error came while the optimizer moved
   */
  onEnd?(end: RunEnd, save: SaveTeam, snapshot: Snapshot | null): void | Promise<void>
}
