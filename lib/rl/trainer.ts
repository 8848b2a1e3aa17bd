/** The loop of a run: steps, evaluations, warnings, sinks, and every way to end. */
import { describeThrown } from '../base/thrown.ts'
import type { Task } from '../tasks/task/types.ts'
import { noAuxiliaryModels } from './backend/auxiliary-models.ts'
import { fromFirst, placeInGrid, type RankMessage, soleRank } from './backend/ranks.ts'
import { type TrainingBackend, trainedPolicies } from './backend/training-backend.ts'
import { evaluateBackend } from './evaluation.ts'
import { checkMemory } from './memory/fit.ts'
import type { MemoryPlan } from './memory/plan.ts'
import { RankFiles } from './rank-files.ts'
import { RankLink } from './rank-link.ts'
import { WarningWatch } from './report/warnings.ts'
import { surveyFirstPrompts } from './rollout/first-prompts.ts'
import { ItemOrder, stepsOfEpochs } from './rollout/item-order.ts'
import { PromptLengths } from './rollout/long-prompts.ts'
import { RolloutPipeline } from './rollout/pipeline.ts'
import { rollOutStep, runStep, type StepContext } from './step.ts'
import type { ResolvedTrainOptions } from './types/options.ts'
import type { EvalReport, RunWarning, StepReport } from './types/reports.ts'
import type { RunOrigin, RunStore } from './types/run-store.ts'
import type { RunEnd, RunResult, RunSink, Snapshot } from './types/sink.ts'

/** What a {@link Trainer} is made of. */
interface TrainerParts {
  backend: TrainingBackend
  task: Task
  options: ResolvedTrainOptions
  sinks: readonly RunSink[]
  signal?: AbortSignal
  /** Keeps the run, and knows where it goes on. Default: nothing is kept. */
  store?: RunStore
}

/** The order in which a run draws items. */
function orderOf({ promptsPerStep, seed, shuffle, epochs }: ResolvedTrainOptions, items: number | readonly number[]) {
  return new ItemOrder({ items, promptsPerStep, seed, shuffle, epochs })
}

/** The items that the steps of a run draw, each once. */
function drawnItems(options: ResolvedTrainOptions, items: number): number[] {
  const order = orderOf(options, items)
  const drawn = new Set<number>()
  for (let step = 1; step <= options.steps && drawn.size < items; step++)
    for (const { item } of order.step(step)) drawn.add(item)
  return [...drawn]
}

/** Drives one run; use it through `Run`. */
export class Trainer {
  /** `steps` are fewer from {@link checkPrompts} on, if epochs are counted and items skipped. */
  options: ResolvedTrainOptions
  /** Settles when {@link steps} has ended. */
  readonly result: Promise<RunResult>
  private readonly parts: TrainerParts
  private readonly context: StepContext
  /** Who is told of the run, in this order. */
  private readonly listeners: readonly RunSink[]
  private readonly watch: WarningWatch
  private readonly stopController = new AbortController()
  private readonly stopReason = new Error('The run was stopped.')
  private readonly link: RankLink
  private readonly files: RankFiles
  /** What another rank ended the run with. */
  private rankError: unknown
  private settle!: { resolve: (result: RunResult) => void; reject: (error: unknown) => void }
  /** Warnings raised before the first step, for its report. */
  private early: RunWarning[] = []
  private stepsDone = 0
  private skippedSteps = 0
  private best: EvalReport | null = null
  private last: EvalReport | null = null
  /** Of the processes before this one. */
  private earlierSeconds = 0
  private startedAt = 0
  /** False while optimizers move: weights are then between two steps. */
  private isWhole = true

  constructor(parts: TrainerParts) {
    const { backend, task, options } = parts
    this.parts = parts
    this.options = options
    this.link = new RankLink(backend.ranks ?? soleRank, {
      stop: () => this.stop(),
      fail: (error) => {
        this.rankError ??= error
        this.stopController.abort(error)
      },
    })
    this.files = new RankFiles(backend, this.link.ranks, options.optimizer)
    this.context = {
      backend,
      task,
      options,
      auxiliary: noAuxiliaryModels(backend.agents.length),
      order: orderOf(options, task.items.length),
      signal: AbortSignal.any([this.stopController.signal, ...(parts.signal ? [parts.signal] : [])]),
      ranks: this.link.ranks,
      commit: async (step) => {
        if (await this.link.agree(step)) return
        this.stop()
        this.context.signal.throwIfAborted()
      },
      beforeOptimizerStep: () => {
        this.isWhole = false
      },
    }
    this.listeners = [...(parts.store ? [parts.store] : []), ...parts.sinks]
    this.watch = new WarningWatch(options)
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

  /** See `Run.plan`. */
  plan(): MemoryPlan | null {
    return this.parts.backend.planMemory?.(this.parts.task, this.options) ?? null
  }

  /** See `Run.checkPrompts`. */
  async checkPrompts(): Promise<RunWarning[]> {
    const { task, signal } = this.context
    const { options, backend } = this.parts
    const { longPrompts, sampling, evalEvery, evalItems, epochs, promptsPerStep } = options
    const lengths = new PromptLengths(backend, longPrompts, sampling.maxNewTokens)
    const all = [...task.items.keys()]
    // Who skips some draws others instead.
    const drawn = longPrompts === 'skip' ? all : drawnItems(options, task.items.length)
    const heldOut = evalEvery > 0 ? (task.heldOut ?? []).slice(0, evalItems) : []
    const places = [
      ...drawn.map((item) => ({ items: task.items, item, isHeldOut: false })),
      ...heldOut.map((_, item) => ({ items: heldOut, item, isHeldOut: true })),
    ]
    const survey = await surveyFirstPrompts(task, places, lengths, signal)
    const skipped = new Set(survey.tooLong.filter(({ isHeldOut }) => !isHeldOut).map(({ item }) => item))
    if (longPrompts === 'skip' && skipped.size > 0) {
      const kept = all.filter((item) => !skipped.has(item))
      const steps = epochs === null ? options.steps : stepsOfEpochs(kept.length, epochs, promptsPerStep)
      this.options = { ...options, steps }
      this.context.options = this.options
      this.context.order = orderOf(options, kept)
    }
    return this.watch.prompts(survey)
  }

  /** The run, step by step. */
  async *steps(): AsyncGenerator<StepReport, void, void> {
    this.startedAt = performance.now()
    // Leaving the loop ends a generator at its `yield`, past all catches: the run then counts as stopped.
    let ending: Pick<RunEnd, 'reason' | 'error'> = { reason: 'stopped' }
    let isAlone = false
    let release: (() => void) | undefined
    try {
      release = this.context.backend.claim?.()
      isAlone = true
      // Before the sinks, so that a run which does not fit leaves nothing behind.
      const tight = checkMemory(this.plan())
      this.early = await this.checkPrompts()
      await this.link.begin(this.options, this.context.task)
      const opened = await this.parts.store?.open(this.options)
      this.context.rewards = await this.link.shareRewards(opened?.rewards)
      await this.tell((sink) => sink.onStart?.(this.options))
      if (tight !== null) await this.warn([{ code: 'memory', index: 0, message: tight }])
      await this.prepare(opened?.origin ?? null)
      yield* this.work()
      ending = { reason: 'finished' }
    } catch (error) {
      ending = this.endingOf(error)
      if (isAlone) await this.dropGradients()
    } finally {
      if (ending.reason !== 'finished') this.link.leave(this.stepsDone + 1, messageOf(ending, this.link.ranks.rank))
      // Ranks that still write together hear of each other until they have done so.
      if (!this.files.isSplit) await this.link.end(isTogether(ending))
      await this.end(ending, release)
    }
  }

  /** Makes references and critics, and either goes on where the run stood or says what can be said before the first step. */
  private async prepare(origin: RunOrigin | null): Promise<void> {
    const { backend } = this.context
    this.context.auxiliary = await backend.auxiliary.prepare(this.options.algorithm, this.options.seed)
    const { ranks } = this.link
    await ranks.alike()
    const { column, rows } = placeInGrid(ranks)
    const own = this.trained.filter((policy) => (backend.columnOf?.(policy) ?? 0) === column)
    // An earlier run may have left it otherwise.
    if (rows > 1) for (const policy of own) await backend.engine.sums!.spread(policy, this.options.optimizer.sharded)
    for (const policy of own) await backend.engine.offload?.(policy, this.options.optimizer.offload)
    const state = await fromFirst(ranks, 'origin', () => origin?.state ?? null)
    if (state !== null) {
      this.isWhole = false
      await this.files.read(origin?.directory ?? null, this.trained)
      this.isWhole = true
      this.stepsDone = state.step
      this.skippedSteps = state.skippedSteps
      this.earlierSeconds = state.seconds
      this.best = state.best
      this.last = state.last
      this.watch.restore(state.warnings)
      this.early = []
      if (this.options.pipelineDepth > 0) {
        const message =
          'What was generated ahead (pipelineDepth) is not kept in checkpoints: the first steps after this are of newer weights ' +
          'than they would have been without the interruption.'
        await this.warn([{ code: 'pipeline', index: this.stepsDone, message }])
      }
      return
    }
    this.early.push(...this.watch.start())
    await this.warn(this.early)
  }

  private async *work(): AsyncGenerator<StepReport, void, void> {
    if (this.isEvaluationDue) await this.evaluate()
    const { pipelineDepth, steps } = this.options
    const { signal } = this.context
    const rollouts = new RolloutPipeline(pipelineDepth, steps, signal, (step, how) =>
      rollOutStep(this.context, step, how),
    )
    try {
      while (this.stepsDone < steps) {
        signal.throwIfAborted()
        const report = await this.step(this.stepsDone + 1, rollouts)
        if (this.isEvaluationDue) await this.evaluate()
        const snapshot = this.snapshot()
        await this.files.during('on', () => this.tell((sink) => sink.onSnapshot?.(snapshot)))
        yield report
      }
    } finally {
      await rollouts.close()
    }
  }

  /** Whether there is one after the steps done, and a run that was stopped just there has not had it. */
  private get isEvaluationDue(): boolean {
    const { evalEvery, steps } = this.options
    const isTime = evalEvery > 0 && (this.stepsDone % evalEvery === 0 || this.stepsDone === steps)
    return isTime && this.last?.index !== this.stepsDone
  }

  private get seconds(): number {
    return this.earlierSeconds + (performance.now() - this.startedAt) / 1000
  }

  /** Policies that are trained, critics included, each once. */
  private get trained(): number[] {
    const { backend, auxiliary } = this.context
    const agents = trainedPolicies(backend.agents).filter((policy) => policy !== null)
    const critics = auxiliary.critics.flatMap((binding) => (binding === null ? [] : [binding.policy]))
    return [...new Set([...agents, ...critics])]
  }

  private snapshot(): Snapshot {
    const { stepsDone: step, skippedSteps, seconds, best, last } = this
    const state = { step, skippedSteps, seconds, best, last, warnings: this.watch.state }
    return { state, write: (directory) => this.files.write(directory, this.trained) }
  }

  private async step(index: number, rollouts: RolloutPipeline): Promise<StepReport> {
    const { report, signals, skipped } = await runStep(this.context, index, rollouts)
    this.stepsDone = index
    this.isWhole = true
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
    const { backend, task, options, signal, rewards } = this.context
    signal.throwIfAborted()
    const { sampling, evalSamples: samples, evalGreedy: greedy, seed, rewardConcurrency, logSamples } = options
    const { turns } = options.algorithm
    const rewardTimeoutMs = options.rewardTimeoutMs ?? undefined
    const items = task.heldOut?.slice(0, options.evalItems)
    await this.tell((sink) => sink.onEvalStart?.({ index: this.stepsDone, items: items?.length ?? 0 }))
    const limits = { rewardTimeoutMs, rewardConcurrency, signal }
    const { longPrompts } = options
    const settings = { task, items, sampling, samples, greedy, turns, seed, longPrompts, logSamples, ...limits }
    const report = await evaluateBackend(backend, settings, this.stepsDone, rewards)
    this.last = report
    const isBest = report.score > (this.best?.score ?? -Infinity)
    if (isBest) this.best = report
    await this.tell((sink) => sink.onEval?.(report))
    const { save } = this.files
    if (isBest && options.keepBest)
      await this.files.during('on', () => this.tell((sink) => sink.onBest?.(report, save)))
  }

  private async warn(warnings: readonly RunWarning[]): Promise<void> {
    for (const warning of warnings) await this.tell((sink) => sink.onWarning?.(warning))
  }

  private async tell(call: (sink: RunSink) => void | Promise<void>): Promise<void> {
    for (const sink of this.listeners) await call(sink)
  }

  private endingOf(error: unknown): Pick<RunEnd, 'reason' | 'error'> {
    if (this.parts.signal?.aborted) return { reason: 'aborted', error: this.parts.signal.reason }
    if (this.rankError !== undefined) return { reason: 'failed', error: this.rankError }
    if (error === this.stopReason) return { reason: 'stopped' }
    return { reason: 'failed', error }
  }

  /** What a dropped step has accumulated must not reach the next one who steps these policies. */
  private async dropGradients(): Promise<void> {
    // The error that ended the run is the one to report, not that of a core which is gone.
    await Promise.allSettled(this.trained.map((policy) => this.context.backend.engine.zeroGrad(policy)))
  }

  /** Tells every sink, also after one of them failed, and settles the result. */
  private async end(ending: Pick<RunEnd, 'reason' | 'error'>, release: () => void = () => {}): Promise<void> {
    const end: RunEnd = { ...ending, steps: this.stepsDone, seconds: this.seconds, best: this.best, last: this.last }
    // Before the watch judges what is left of its window: a run that goes on from here must not know of an end.
    // What other ranks hold can be written while these go on.
    const together = isTogether(end)
    const snapshot = this.isWhole && (together || !this.files.isSplit) ? this.snapshot() : null
    const failures = together ? [] : [end.error]
    await this.warn(this.watch.end(this.stepsDone)).catch((error: unknown) => failures.push(error))
    const tellEnd = async () => {
      for (const sink of this.listeners) {
        try {
          await sink.onEnd?.(end, this.files.save, snapshot)
        } catch (error) {
          failures.push(error)
        }
      }
    }
    await (together ? this.files.during('end', tellEnd) : tellEnd()).catch((error: unknown) => failures.push(error))
    await this.files.settle()
    if (this.files.isSplit) await this.link.end(false)
    // Who waits for the result may begin another run on the team at once.
    release()
    if (failures.length === 0) this.settle.resolve(end as RunResult)
    else {
      this.settle.reject(failures[0])
      throw failures[0]
    }
  }
}

/** Whether all ranks end at the same point. */
function isTogether({ reason }: Pick<RunEnd, 'reason'>): boolean {
  return reason === 'finished' || reason === 'stopped'
}

/** What the other ranks are told of an end. */
function messageOf({ reason, error }: Pick<RunEnd, 'reason' | 'error'>, rank: number): RankMessage {
  if (reason === 'stopped') return { kind: 'stop' }
  return { kind: 'failed', message: `Rank ${rank} ended the run: ${describeThrown(error)}` }
}
