/** The loop of a run: steps, evaluations, warnings, sinks, and every way to end. */
import type { Task } from '../tasks/types.ts'
import { evaluatePlayers } from './evaluation.ts'
import { ItemOrder } from './item-order.ts'
import type { Players } from './players.ts'
import { runStep, type StepContext } from './step.ts'
import { noSupport } from './support.ts'
import type { EvalReport, ResolvedTrainOptions, RunEnd, RunResult, RunSink, RunWarning, StepReport } from './types.ts'
import { WarningWatch } from './warnings.ts'

/** What a {@link Trainer} is made of. */
export interface TrainerParts<Item> {
  players: Players
  task: Task<Item>
  options: ResolvedTrainOptions
  sinks: readonly RunSink[]
  signal?: AbortSignal
}

/** What a `Run` needs of a trainer, whatever its items are. */
export interface Drive {
  readonly options: ResolvedTrainOptions
  readonly result: Promise<RunResult>
  steps(): AsyncGenerator<StepReport, void, void>
  stop(): void
}

/** Drives one run; use it through `Run`. */
export class Trainer<Item> implements Drive {
  readonly options: ResolvedTrainOptions
  /** Settles when {@link steps} has ended. */
  readonly result: Promise<RunResult>
  private readonly parts: TrainerParts<Item>
  private readonly context: StepContext<Item>
  private readonly watch: WarningWatch
  private readonly stopController = new AbortController()
  private readonly stopReason = new Error('The run was stopped.')
  private settle!: { resolve: (result: RunResult) => void; reject: (error: unknown) => void }
  /** Warnings raised before the first step, for its report. */
  private early: RunWarning[] = []
  private stepsDone = 0
  private skippedSteps = 0
  private best: EvalReport | null = null
  private last: EvalReport | null = null

  constructor(parts: TrainerParts<Item>) {
    const { players, task, options } = parts
    const { promptsPerStep, seed, shuffle, epochs } = options
    this.parts = parts
    this.options = options
    this.context = {
      players,
      task,
      options,
      support: noSupport(players.agents.length),
      order: new ItemOrder({ items: task.items.length, promptsPerStep, seed, shuffle, epochs }),
      signal: AbortSignal.any([this.stopController.signal, ...(parts.signal ? [parts.signal] : [])]),
    }
    this.watch = new WarningWatch({
      maxReward: options.task.maxReward,
      minReward: options.task.minReward,
      maxNewTokens: options.sampling.maxNewTokens,
      algorithm: options.algorithm,
    })
    this.result = new Promise((resolve, reject) => {
      this.settle = { resolve, reject }
    })
    // Whoever iterates gets the error from the loop; the promise must not report it a second time.
    this.result.catch(() => {})
  }

  /** See `Run.stop`. */
  stop(): void {
    this.stopController.abort(this.stopReason)
  }

  /** The run, step by step. */
  async *steps(): AsyncGenerator<StepReport, void, void> {
    const start = performance.now()
    // Leaving the loop ends a generator at its `yield`, past all catches: the run then counts as stopped.
    let ending: Pick<RunEnd, 'reason' | 'error'> = { reason: 'stopped' }
    try {
      await this.tell((sink) => sink.onStart?.(this.options))
      await this.prepare()
      yield* this.work()
      ending = { reason: 'finished' }
    } catch (error) {
      ending = this.endingOf(error)
      await this.dropGradients()
    } finally {
      await this.end({ ...ending, seconds: (performance.now() - start) / 1000 })
    }
  }

  /** Makes references and critics, and says what can be said before the first step. */
  private async prepare(): Promise<void> {
    this.context.support = await this.context.players.support.prepare(this.options.algorithm)
    this.early = this.watch.start()
    await this.warn(this.early)
  }

  private async *work(): AsyncGenerator<StepReport, void, void> {
    const { evalEvery, steps } = this.options
    if (evalEvery > 0) await this.evaluate()
    while (this.stepsDone < steps) {
      this.context.signal.throwIfAborted()
      const report = await this.step(this.stepsDone + 1)
      if (evalEvery > 0 && (this.stepsDone % evalEvery === 0 || this.stepsDone === steps)) await this.evaluate()
      yield report
    }
  }

  private async step(index: number): Promise<StepReport> {
    const { report, signals, skipped } = await runStep(this.context, index)
    this.stepsDone = index
    if (skipped.length > 0) this.skippedSteps++
    report.metrics['train/skipped_steps'] = this.skippedSteps
    const warnings = [
      ...this.watch.step(index, signals),
      ...(skipped.length > 0 ? this.watch.nonFiniteGradient(index, skipped) : []),
    ]
    report.warnings = [...this.early, ...warnings].map(({ message }) => message)
    this.early = []
    await this.warn(warnings)
    await this.tell((sink) => sink.onStep?.(report))
    return report
  }

  private async evaluate(): Promise<void> {
    const { players, task, options, signal } = this.context
    signal.throwIfAborted()
    const report = await evaluatePlayers(
      players,
      {
        task,
        items: task.heldOut?.slice(0, options.evalItems),
        sampling: options.sampling,
        samples: options.evalSamples,
        greedy: options.evalGreedy,
        turns: options.algorithm.turns,
        seed: options.seed,
        rewardTimeoutMs: options.rewardTimeoutMs,
        rewardConcurrency: options.rewardConcurrency,
        logSamples: options.logSamples,
        signal,
      },
      this.stepsDone,
    )
    this.last = report
    const isBest = this.best === null || report.score > this.best.score
    if (isBest) this.best = report
    await this.tell((sink) => sink.onEval?.(report))
    if (isBest && options.keepBest) await this.tell((sink) => sink.onBest?.(report, players.save))
  }

  private async warn(warnings: readonly RunWarning[]): Promise<void> {
    for (const warning of warnings) await this.tell((sink) => sink.onWarning?.(warning))
  }

  private async tell(call: (sink: RunSink) => void | Promise<void>): Promise<void> {
    for (const sink of this.parts.sinks) await call(sink)
  }

  private endingOf(error: unknown): Pick<RunEnd, 'reason' | 'error'> {
    if (this.parts.signal?.aborted) return { reason: 'aborted', error: this.parts.signal.reason }
    if (error === this.stopReason) return { reason: 'stopped' }
    return { reason: 'failed', error }
  }

  /** What a dropped step has accumulated must not reach the next one who steps these policies. */
  private async dropGradients(): Promise<void> {
    const { players, support } = this.context
    const agents = players.agents.filter(({ kind }) => kind !== 'base').map(({ policy }) => policy)
    const critics = support.critics.flatMap((seat) => (seat === null ? [] : [seat.policy]))
    const policies = new Set([...agents, ...critics])
    // The error that ended the run is the one to report, not that of a core which is gone.
    await Promise.allSettled([...policies].map((policy) => players.engine.zeroGrad(policy)))
  }

  /** Tells every sink, also after one of them failed, and settles the result. */
  private async end(ending: Pick<RunEnd, 'reason' | 'error' | 'seconds'>): Promise<void> {
    const end: RunEnd = { ...ending, steps: this.stepsDone, best: this.best, last: this.last }
    const failures = end.reason === 'aborted' || end.reason === 'failed' ? [end.error] : []
    await this.warn(this.watch.end(this.stepsDone)).catch((error: unknown) => failures.push(error))
    for (const sink of this.parts.sinks) {
      try {
        await sink.onEnd?.(end, this.context.players.save)
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length === 0) this.settle.resolve(end as RunResult)
    else {
      this.settle.reject(failures[0])
      throw failures[0]
    }
  }
}
