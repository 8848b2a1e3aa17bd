/** A run as its user holds it: it goes on as its reports are asked for. */
import { ConfigError, MagrpoError } from '../base/errors.ts'
import { placeInGrid, soleRank } from './backend/ranks.ts'
import type { TrainingBackend } from './backend/training-backend.ts'
import type { MemoryPlan } from './memory/plan.ts'
import { resolveTrainOptions } from './resolve-options.ts'
import type { TrainOptions } from './train-options.ts'
import { Trainer } from './trainer.ts'
import type { ResolvedTrainOptions } from './types/options.ts'
import type { RunWarning, StepReport } from './types/reports.ts'
import type { RunStore } from './types/run-store.ts'
import type { RunResult } from './types/sink.ts'

/**
 * Begins a run on any backend; see `train`.
 *
 * @param store keeps the run, and knows where it goes on; without one nothing is kept
 * @throws ConfigError or MagrpoError `ERR_TASK` for options that are out of range or do not fit each other
 */
export function startRun(backend: TrainingBackend, options: Omit<TrainOptions, 'team'>, store?: RunStore): Run {
  const devices = backend.agents.map(({ policy }) => backend.deviceOf?.(policy) ?? 'cpu')
  const resolved = resolveTrainOptions(options, backend.agents, {
    ranks: placeInGrid(backend.ranks ?? soleRank).rows,
    devices,
  })
  const issues = backend.auxiliary.check(resolved.algorithm)
  if (issues.length > 0) throw new ConfigError(issues, 'The team')
  const { task, sinks = [], signal } = options
  return new Run(new Trainer({ backend, task, options: resolved, sinks, signal, store }))
}

/**
 * A run of `train`: an async iterable of its steps.
 *
 * It is pulled: step k + 1 begins when the report after step k is asked for, so that a loop may look at the team (or
 * generate with it) between steps. Leaving the loop stops the run.
 */
export class Run implements AsyncIterable<StepReport> {
  private readonly trainer: Trainer
  private isDriven = false

  /** Use `train`. */
  constructor(trainer: Trainer) {
    this.trainer = trainer
  }

  /** The options of the run, every default filled in. */
  get options(): ResolvedTrainOptions {
    return this.trainer.options
  }

  /** The steps, once: a run cannot be iterated twice, nor after {@link result} began to drive it. */
  [Symbol.asyncIterator](): AsyncGenerator<StepReport, void, void> {
    if (this.isDriven) {
      throw new MagrpoError(
        'ERR_ARGUMENT',
        'Expected a run that has not begun, but it is being iterated or driven by its result already. ' +
          'Iterate it once, before reading result.',
      )
    }
    this.isDriven = true
    return this.trainer.steps()
  }

  /**
   * How the run ended. Read before anyone iterates, it drives the run to its end by itself; otherwise it waits for the
   * loop. Rejects with the error that ended the run, or with the signal's reason.
   */
  get result(): Promise<RunResult> {
    if (!this.isDriven) void this.drain()
    return this.trainer.result
  }

  /**
   * What memory the run will take at its peak, by device and by part: an upper estimate. It is compared with what is free when the
   * run begins, which rejects with `ERR_OUT_OF_MEMORY` if it is too much. Null for a backend without a real model.
   */
  plan(): MemoryPlan | null {
    return this.trainer.plan()
  }

  /**
   * Looks at the first prompts of all items that the run will train on or evaluate, as the run does when it begins.
   *
   * @returns what they tell: items that are skipped or cut, completions that the context will end
   * @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_TASK`, naming agent and item; `ERR_PROMPT_TOO_LONG` naming up to ten items
   */
  checkPrompts(): Promise<RunWarning[]> {
    return this.trainer.checkPrompts()
  }

  /**
   * Ends the run gracefully: what is under way up to the optimizer's move is dropped, the weights are those of the last
   * full step, the sinks' `onEnd` is called with `stopped`, and the loop ends without an error.
   */
  stop(): void {
    this.trainer.stop()
  }

  private async drain(): Promise<void> {
    try {
      for await (const _ of this) {
        // Reports go to the sinks.
      }
    } catch {
      // The trainer's result rejects with the same error.
    }
  }
}
