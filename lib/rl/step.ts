/** One training step: rollout, signals, update, report. Liu et al. (AAAI 2026), Algorithm 1, one episode of a batch. */
import type { Task } from '../tasks/types.ts'
import type { ItemOrder } from './item-order.ts'
import { completionMetrics, gradientMetrics, onlyFinite, rewardMetrics, signalMetrics } from './metrics.ts'
import { type Players, trainedPolicies } from './players.ts'
import { rollOut } from './rollout.ts'
import { sampleRows } from './sample-rows.ts'
import { learningRateAt } from './schedule.ts'
import { type NodeSignal, signalsOf, trainGroups } from './signals.ts'
import type { ResolvedTrainOptions, StepReport } from './types.ts'
import { accumulate, stepPolicies } from './update.ts'

/** What every step of a run shares. */
export interface StepContext<Item> {
  players: Players
  task: Task<Item>
  options: ResolvedTrainOptions
  order: ItemOrder
  signal: AbortSignal
}

/** A finished step, and what the run goes on with. */
export interface StepOutcome {
  report: StepReport
  signals: NodeSignal[]
  /** Names of the agents whose gradient was not finite. */
  skipped: string[]
}

/**
 * Runs step `index` (from 1). Until the optimizer moves nothing has changed, so an abort leaves the weights of the step
 * before; once it moves, the signal is not looked at, so that all agents move or none does.
 *
 * @throws see `rollOut`; the signal's reason
 */
export async function runStep<Item>(context: StepContext<Item>, index: number): Promise<StepOutcome> {
  const { players, task, options, order, signal } = context
  const { algorithm } = options
  const start = performance.now()
  const rollout = await rollOut({
    engine: players.engine,
    policies: players.agents.map(({ policy }) => policy),
    task,
    items: task.items,
    chosen: order.step(index),
    sampling: options.sampling,
    groupSize: algorithm.groupSize,
    laterGroupSize: algorithm.groupSize,
    jointMode: algorithm.jointMode,
    turns: algorithm.turns,
    terminationThreshold: algorithm.terminationThreshold,
    seed: options.seed,
    step: index,
    rewardConcurrency: options.rewardConcurrency,
    rewardTimeoutMs: options.rewardTimeoutMs,
    signal,
  })
  const signals = signalsOf(rollout.nodes, algorithm)

  const updateStart = performance.now()
  const policies = trainedPolicies(players.agents)
  const groups = trainGroups(signals, policies)
  const { tokens, logProbDifferenceMax } = await accumulate(players.engine, groups, {
    minibatches: options.minibatches,
    maxTokensPerMicroBatch: options.maxTokensPerMicroBatch ?? undefined,
    signal,
  })
  signal.throwIfAborted()
  const { schedule, warmupSteps, learningRate: peak, ...settings } = options.optimizer
  const learningRate = learningRateAt({ name: schedule, peak, warmupSteps, totalSteps: options.steps }, index)
  const results = await stepPolicies(players.engine, groups, { ...settings, learningRate })
  const updateSeconds = (performance.now() - updateStart) / 1000

  const names = players.agents.map(({ name }) => name)
  const report: StepReport = {
    index,
    metrics: onlyFinite({
      ...rewardMetrics(rollout.nodes),
      ...signalMetrics(signals),
      ...completionMetrics(rollout.nodes, names),
      ...gradientMetrics(results, names, policies),
      'train/learning_rate': learningRate,
      'train/log_prob_difference_max': logProbDifferenceMax,
    }),
    timings: onlyFinite({
      'time/generate_s': rollout.generateSeconds,
      'time/reward_s': rollout.rewardSeconds,
      'time/update_s': updateSeconds,
      'time/step_s': (performance.now() - start) / 1000,
      'time/generate_tokens_per_s': rollout.newTokens / rollout.generateSeconds,
      'time/update_tokens_per_s': tokens / updateSeconds,
      'memory/rss_bytes': process.memoryUsage.rss(),
    }),
    samples: signals
      .filter(({ node }) => node.slot < options.logSamples)
      .flatMap((signalOf) => sampleRows(signalOf.node, signalOf, { step: index, phase: 'train', agents: names })),
    warnings: [],
  }
  const skipped = names.filter((_, agent) => results.get(policies[agent] ?? -1)?.skipped)
  return { report, signals, skipped }
}
