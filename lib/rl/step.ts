/**
 * One training step: Liu et al. (AAAI 2026), Algorithm 1, one episode of a batch. Its stages, and the file of each:
 *
 * 1. items      `rollout/item-order.ts` picks them; `rollout/pipeline.ts` starts rollouts, ahead of the update if it may
 * 2. rollout    `rollout/rollout.ts` plays the turns: prompts from the task (`task-calls.ts`), completions from the engine
 * 3. rewards    `rollout/turn-rewards.ts` queues each joint completion that is whole, `reward-queue.ts` calls the task's reward
 * 4. scores     `credit/kl.ts` asks the references and `credit/critic.ts` the critics, if the algorithm has any
 * 5. credit     `algorithms/signals.ts`: returns, credit of each completion, baseline and so the advantages
 * 6. weights    `update/train-groups.ts` makes a weight per token of the advantages
 * 7. update     `update/update.ts` accumulates gradients and steps each policy; from its first step on there is no way back
 * 8. report     `report/metrics.ts` and `report/sample-rows.ts`
 */
import type { Task } from '../tasks/task/types.ts'
import { algorithmEntry } from './algorithms/registry.ts'
import { signalsOf } from './algorithms/signals.ts'
import type { AuxiliaryModels } from './backend/auxiliary-models.ts'
import type { Engine, EngineScoreOptions } from './backend/engine.ts'
import { type Ranks, rowShare } from './backend/ranks.ts'
import { type TrainingBackend, trainedPolicies } from './backend/training-backend.ts'
import { criticInputs, scoreValues } from './credit/critic.ts'
import { scoreReferences } from './credit/kl.ts'
import type { NodeSignal } from './credit/types.ts'
import { learningRateAt } from './options/schedule.ts'
import {
  completionMetrics,
  criticMetrics,
  gradientMetrics,
  klMetrics,
  onlyFinite,
  rewardMetrics,
  signalMetrics,
} from './report/metrics.ts'
import { sampleRows } from './report/sample-rows.ts'
import type { ItemOrder } from './rollout/item-order.ts'
import { PromptLengths } from './rollout/long-prompts.ts'
import type { RolloutPipeline } from './rollout/pipeline.ts'
import { type Rollout, rollOut } from './rollout/rollout.ts'
import { Row, slotsOf } from './rollout/row.ts'
import { shareRollout } from './rollout/share-rollout.ts'
import { type RolloutNode, withModelLogProbs } from './rollout/tree.ts'
import type { ResolvedTrainOptions } from './types/options.ts'
import type { StepReport } from './types/reports.ts'
import type { RewardCache } from './types/run-store.ts'
import { rankedEngine } from './update/ranked-engine.ts'
import { criticGroups, trainGroups } from './update/train-groups.ts'
import { update } from './update/update.ts'

/** What every step of a run shares. */
export interface StepContext {
  backend: TrainingBackend
  task: Task
  options: ResolvedTrainOptions
  order: ItemOrder
  /** References and critics, as the algorithm needs them. */
  auxiliary: AuxiliaryModels
  signal: AbortSignal
  ranks: Ranks
  /** Where verdicts are remembered. */
  rewards?: RewardCache
  /** Asks all ranks, before the first optimizer step, whether they go on with a step; it throws if one does not. */
  commit?(step: number): Promise<void>
  /** Called before each step of a policy's optimizer; until the training step has ended, weights are between two steps. */
  beforeOptimizerStep?(): void
}

/** A finished step, and what the run goes on with. */
interface StepOutcome {
  report: StepReport
  signals: NodeSignal[]
  /** Names of the agents, and of critics, whose gradient was not finite. */
  skipped: string[]
}

/** Lets the team answer the prompts of a step and rewards what it wrote, with all ranks. See `rollOut`. */
export async function rollOutStep(
  { backend, task, options, order, rewards, ranks }: StepContext,
  index: number,
  how: { signal: AbortSignal; onGenerated(): void },
): Promise<Rollout> {
  const { algorithm } = options
  const chosen = rowShare(order.step(index), ranks)
  const own = await rollOut({
    engine: backend.engine,
    policies: backend.agents.map(({ policy }) => policy),
    task,
    items: task.items,
    chosen,
    sampling: options.sampling,
    groupSize: algorithm.groupSize,
    laterGroupSize: algorithm.groupSize,
    jointMode: algorithm.jointMode,
    turns: algorithm.turns,
    terminationThreshold: algorithm.terminationThreshold,
    lengths: new PromptLengths(backend, options.longPrompts, options.sampling.maxNewTokens),
    seed: options.seed,
    step: index,
    rewardConcurrency: options.rewardConcurrency,
    rewardTimeoutMs: options.rewardTimeoutMs,
    ...how,
    row: new Row(backend, `rollout/${index}`, slotsOf(chosen)),
    rewards: rewards && { memory: rewards, part: `train/${index}` },
  })
  return shareRollout(ranks, `rollout/${index}`, own, how.signal)
}

/**
 * Runs step `index` (from 1). Until the optimizer moves nothing has changed, so an abort leaves the weights of the step
 * before; once it moves, the signal is not looked at, so that all agents move or none does.
 *
 * @param rollouts gives the step's rollout
 * @throws see `rollOut`; the signal's reason
 */
export async function runStep(context: StepContext, index: number, rollouts: RolloutPipeline): Promise<StepOutcome> {
  const { backend, options, signal } = context
  const { algorithm } = options
  const start = performance.now()
  const rollout = await rollouts.take(index)
  const sampling = algorithm.logProbs === 'sampler' ? options.sampling : undefined
  if (sampling === undefined) for (const node of rollout.nodes) node.samples = withModelLogProbs(node.samples)
  const updateStart = performance.now()
  const names = backend.agents.map(({ name }) => name)
  const policies = trainedPolicies(backend.agents)
  const limits = { maxTokensPerMicroBatch: options.maxTokensPerMicroBatch ?? undefined, signal }
  const columnOf = (policy: number) => backend.columnOf?.(policy) ?? 0
  const spread = { ranks: context.ranks, columnOf, step: index, slots: context.order.step(index).length }
  const { engine, sumSeconds } = rankedEngine(backend.engine, { ...spread, deterministic: options.deterministic })
  const { signals, inputs } = await scoreReferencesAndCritics(context, engine, rollout.nodes, limits, sampling)
  const { schedule, warmupSteps, sharded: _, offload: __, learningRate: peak, ...settings } = options.optimizer
  const rateOf = (full: number) =>
    learningRateAt({ name: schedule, peak: full, warmupSteps, totalSteps: options.steps }, index)
  const learningRate = rateOf(peak)
  const groups = trainGroups(signals, { policies, algorithm, maxNewTokens: options.sampling.maxNewTokens })
  const updated = await update(engine, {
    ...limits,
    sampling,
    groups,
    criticGroups: algorithm.critic?.placement === 'separate' ? criticGroups(signals, inputs, algorithm) : [],
    algorithm,
    // Slots are the pieces of a deterministic step.
    minibatches: options.deterministic ? 1 : options.minibatches,
    commit: () => context.commit?.(index) ?? Promise.resolve(),
    beforeStep: () => context.beforeOptimizerStep?.(),
    optionsOf: (policy) => {
      const isAgent = policies.includes(policy)
      return { ...settings, learningRate: isAgent ? learningRate : rateOf(algorithm.critic?.learningRate ?? peak) }
    },
  })
  const { results } = updated
  const updateSeconds = (performance.now() - updateStart) / 1000

  const report: StepReport = {
    index,
    metrics: onlyFinite({
      ...rewardMetrics(rollout.nodes),
      ...signalMetrics(signals),
      ...completionMetrics(rollout.nodes, names),
      ...gradientMetrics(results, names, policies),
      ...klMetrics(signals, names),
      ...criticMetrics(signals, names, results, policies),
      ...(algorithm.clip !== null && { 'train/clipped_share': updated.clippedShare }),
      'train/learning_rate': learningRate,
      'train/log_prob_difference_max': updated.logProbDifferenceMax,
    }),
    timings: onlyFinite({
      'time/generate_s': rollout.generateSeconds,
      'time/reward_s': rollout.rewardSeconds,
      'time/update_s': updateSeconds,
      ...(context.ranks.size > 1 && { 'time/gradient_sum_s': sumSeconds() }),
      'time/step_s': (performance.now() - start) / 1000,
      'time/generate_tokens_per_s': rollout.newTokens / rollout.generateSeconds,
      'time/update_tokens_per_s': updated.tokens / updateSeconds,
      'memory/rss_bytes': process.memoryUsage.rss(),
    }),
    samples: signals
      .filter(({ node }) => node.slot < options.logSamples)
      .flatMap((signalOf) => sampleRows(signalOf.node, signalOf, { step: index, phase: 'train', agents: names })),
    warnings: [],
  }
  return { report, signals, skipped: namesOf(updated.skipped, context, policies) }
}

/** What references and critics say of a rollout, and the signals made of it. */
async function scoreReferencesAndCritics(
  { backend, options, auxiliary }: StepContext,
  engine: Engine,
  nodes: readonly RolloutNode[],
  limits: EngineScoreOptions,
  sampling: EngineScoreOptions['sampling'],
) {
  const { algorithm } = options
  const references = algorithm.kl
    ? await scoreReferences(engine, nodes, auxiliary.references, { ...limits, sampling })
    : undefined
  if (algorithm.critic === null) return { signals: signalsOf(nodes, algorithm, { references }), inputs: [] }
  const layout = { type: algorithm.critic.type, isCentral: algorithmEntry(algorithm).critic?.scope === 'team' }
  const inputs = criticInputs(engine, nodes, auxiliary.critics, layout)
  const values = await scoreValues(engine, inputs, backend.agents.length, limits)
  return { signals: signalsOf(nodes, algorithm, { references, values }), inputs }
}

/** Agents by the policies that were skipped, then critics. */
function namesOf(
  skipped: ReadonlySet<number>,
  { backend, auxiliary }: StepContext,
  policies: readonly (number | null)[],
): string[] {
  const agents = backend.agents.filter((_, agent) => skipped.has(policies[agent] ?? -1)).map(({ name }) => name)
  const judged = backend.agents.filter((_, agent) => {
    const critic = auxiliary.critics[agent]?.policy
    return critic !== undefined && !policies.includes(critic) && skipped.has(critic)
  })
  return [...agents, ...judged.map(({ name }) => `the critic of ${name}`)]
}
