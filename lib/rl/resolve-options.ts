/** Checks the options of a run and fills in their defaults, before anything is done. */
import { ConfigError, type ConfigIssue, MagrpoError } from '../base/errors.ts'
import type { Sampling } from '../model/types.ts'
import type { Task } from '../tasks/task/types.ts'
import { magrpo } from './algorithms/algorithms.ts'
import { checkAgents, trainedPolicies } from './backend/training-backend.ts'
import type { Algorithm } from './options/algorithm.ts'
import { scheduleNames } from './options/schedule.ts'
import { stepsOfEpochs } from './rollout/item-order.ts'
import { rewardTimeoutOf } from './rollout/reward-queue.ts'
import type { TrainOptions } from './train-options.ts'
import type { AgentSummary, OptimizerOptions, ResolvedTrainOptions } from './types/options.ts'

type Expect = (path: string, value: unknown, isRight: boolean, expected: string) => void

/**
 * Options with every default filled in.
 *
 * @throws ConfigError listing everything out of range
 * @throws MagrpoError `ERR_TASK` where task and team do not fit
 */
export function resolveTrainOptions<Item>(
  options: Omit<TrainOptions<Item>, 'team'>,
  agents: AgentSummary[],
): ResolvedTrainOptions {
  const { task } = options
  checkAgents(agents, task)
  if (task.items.length === 0) {
    throw new MagrpoError('ERR_TASK', `Expected at least one item in task '${task.name}' but received none.`)
  }
  const promptsPerStep = options.promptsPerStep ?? 1
  const heldOut = task.heldOut?.length ?? 0
  const resolved: ResolvedTrainOptions = {
    task: {
      name: task.name,
      agents: [...task.agents],
      items: task.items.length,
      heldOut,
      maxReward: task.maxReward ?? null,
      minReward: task.minReward ?? null,
    },
    team: agents,
    algorithm: withThreshold(options.algorithm ?? magrpo(), task.defaults),
    sampling: resolveSampling(options.sampling, task.defaults),
    optimizer: resolveOptimizer(options.optimizer),
    steps: options.steps ?? stepsOfEpochs(task.items.length, options.epochs ?? 0, Math.max(1, promptsPerStep)),
    epochs: options.epochs ?? null,
    promptsPerStep,
    minibatches: options.minibatches ?? 1,
    maxTokensPerMicroBatch: options.maxTokensPerMicroBatch ?? null,
    activationCheckpointing: options.activationCheckpointing ?? false,
    deterministic: options.deterministic ?? false,
    seed: options.seed ?? 0,
    shuffle: options.shuffle ?? true,
    evalEvery: options.evalEvery ?? 0,
    evalItems: Math.min(options.evalItems ?? 64, Math.max(1, heldOut)),
    evalSamples: options.evalSamples ?? 1,
    evalGreedy: options.evalGreedy ?? true,
    keepBest: options.keepBest ?? true,
    rewardTimeoutMs: rewardTimeoutOf(options.rewardTimeoutMs, task.defaults),
    rewardConcurrency: options.rewardConcurrency ?? 16,
    pipelineDepth: options.pipelineDepth ?? 0,
    logSamples: options.logSamples ?? 1,
  }
  const issues = [...checkOptions(resolved, options), ...checkSampling(resolved.sampling, true)]
  if (issues.length > 0) throw new ConfigError(issues, 'The configuration of the run')
  return resolved
}

function withThreshold(algorithm: Algorithm, defaults: Task['defaults']): ResolvedTrainOptions['algorithm'] {
  const { terminationThreshold: given } = algorithm
  return { ...algorithm, terminationThreshold: given === 'task' ? (defaults?.terminationThreshold ?? null) : given }
}

/** Sampling with every default filled in: what is given, else what the task asks for, else the library's. */
export function resolveSampling(given: Sampling = {}, task: Task['defaults'] = {}): ResolvedTrainOptions['sampling'] {
  const stop = given.stop ?? task?.stop
  return {
    temperature: given.temperature ?? task?.temperature ?? 1,
    topK: given.topK ?? 0,
    topP: given.topP ?? task?.topP ?? 1,
    minP: given.minP ?? 0,
    repetitionPenalty: given.repetitionPenalty ?? 1,
    maxNewTokens: given.maxNewTokens ?? task?.maxNewTokens ?? 256,
    ...(given.stopIds === undefined ? {} : { stopIds: given.stopIds }),
    ...(stop === undefined ? {} : { stop }),
  }
}

function resolveOptimizer(given: OptimizerOptions): Required<OptimizerOptions> {
  return {
    learningRate: given.learningRate,
    betas: given.betas ?? [0.9, 0.999],
    epsilon: given.epsilon ?? 1e-8,
    weightDecay: given.weightDecay ?? 0.01,
    maxGradNorm: given.maxGradNorm ?? 0,
    schedule: given.schedule ?? 'constant',
    warmupSteps: given.warmupSteps ?? 0,
  }
}

/** @param isTraining greedy sampling is refused: all samples of a group would be equal */
export function checkSampling(sampling: ResolvedTrainOptions['sampling'], isTraining: boolean): ConfigIssue[] {
  const { issues, expect } = collector()
  const { temperature, topK, topP, minP, repetitionPenalty, maxNewTokens } = sampling
  const isWarm = isTraining ? temperature > 0 : temperature >= 0
  const warmth = isTraining ? 'a number above 0 (greedy samples of a group are all equal)' : 'a number from 0 up'
  expect('sampling.temperature', temperature, isWarm && Number.isFinite(temperature), warmth)
  expect('sampling.topK', topK, isCount(topK, 0), 'an integer from 0 up')
  expect('sampling.topP', topP, topP > 0 && topP <= 1, 'a number above 0, up to 1')
  expect('sampling.minP', minP, minP >= 0 && minP <= 1, 'a number from 0 to 1')
  expect('sampling.repetitionPenalty', repetitionPenalty, isPositive(repetitionPenalty), 'a number above 0')
  expect('sampling.maxNewTokens', maxNewTokens, isCount(maxNewTokens, 1), 'an integer from 1 up')
  return issues
}

function checkOptions<Item>(resolved: ResolvedTrainOptions, given: Omit<TrainOptions<Item>, 'team'>): ConfigIssue[] {
  const { issues, expect } = collector()
  if ((given.steps === undefined) === (given.epochs === undefined)) {
    const received = given.steps === undefined ? 'neither' : 'both'
    issues.push({ path: 'steps', message: `expected either steps or epochs, received ${received}` })
  }
  if (given.steps !== undefined) expect('steps', given.steps, isCount(given.steps, 1), 'an integer from 1 up')
  if (given.epochs !== undefined) expect('epochs', given.epochs, isPositive(given.epochs), 'a number above 0')
  for (const name of ['promptsPerStep', 'minibatches', 'evalItems', 'evalSamples', 'rewardConcurrency'] as const) {
    const value = given[name] ?? resolved[name]
    expect(name, value, isCount(value, 1), 'an integer from 1 up')
  }
  for (const name of ['evalEvery', 'logSamples', 'pipelineDepth'] as const) {
    expect(name, resolved[name], isCount(resolved[name], 0), 'an integer from 0 up')
  }
  const { maxTokensPerMicroBatch: micro, seed, rewardTimeoutMs, evalEvery, task } = resolved
  expect('maxTokensPerMicroBatch', micro, micro === null || isCount(micro, 1), 'an integer from 1 up')
  expect('seed', seed, isCount(seed, 0) && seed < 2 ** 32, 'an integer from 0 to 2^32 - 1')
  // Longer waits overflow setTimeout, which would then fire at once.
  const isWait = rewardTimeoutMs === null || (isPositive(rewardTimeoutMs) && rewardTimeoutMs < 2 ** 31)
  expect('rewardTimeoutMs', rewardTimeoutMs, isWait, 'milliseconds above 0 and below 2^31')
  if (evalEvery > 0 && task.heldOut === 0) {
    issues.push({ path: 'evalEvery', message: `expected held-out items in task '${task.name}' to evaluate on` })
  }
  const { pipelineDepth, algorithm } = resolved
  if (pipelineDepth > 0 && algorithm.turns > 1) {
    const message = `expected 0 for ${algorithm.turns} turns: later turns wait for the rewards of earlier ones`
    issues.push({ path: 'pipelineDepth', message })
  }
  issues.push(...checkSize(resolved))
  checkOptimizer(resolved.optimizer, expect)
  issues.push(...checkPlan(resolved.algorithm, resolved.team, given.task))
  return issues
}

/** Completions that a step or an evaluation may hold in memory; more than any run needs, and fewer than a heap can hold. */
const mostCompletions = 2 ** 18

/** What a step and an evaluation hold in memory, and into how many parts a step can be cut. */
function checkSize(resolved: ResolvedTrainOptions): ConfigIssue[] {
  const { promptsPerStep, minibatches, algorithm, team, evalEvery, evalItems, evalSamples } = resolved
  const issues: ConfigIssue[] = []
  const { groupSize, jointMode, turns } = algorithm
  const refuse = (path: string, count: number, how: string) => {
    if (!(count > mostCompletions)) return
    const message = `expected at most ${mostCompletions} completions ${how}, received ${count}; use a smaller number`
    issues.push({ path, message })
  }
  const joint = jointMode === 'cross' ? groupSize ** team.length : groupSize
  let nodes = 0
  for (let turn = 0; turn < Math.min(turns, 64); turn++) nodes += joint ** turn
  const aPrompt = nodes * groupSize * team.length
  const aStep = `a step (promptsPerStep ${promptsPerStep} x ${aPrompt} completions a prompt)`
  if (aPrompt > mostCompletions)
    refuse(
      turns > 1 ? 'algorithm.turns' : 'algorithm.groupSize',
      aPrompt,
      `a prompt (groupSize ${groupSize}, ${turns} turns)`,
    )
  else refuse('promptsPerStep', promptsPerStep * aPrompt, aStep)
  if (minibatches > promptsPerStep * nodes) {
    const groups = `the groups of a step (promptsPerStep ${promptsPerStep}${turns > 1 ? `, up to ${nodes} turns each` : ''})`
    issues.push({
      path: 'minibatches',
      message: `expected at most ${promptsPerStep * nodes}, ${groups}, received ${minibatches}`,
    })
  }
  if (evalEvery > 0) {
    const anEvaluation = `an evaluation (evalItems ${evalItems} x evalSamples ${evalSamples} x ${team.length} agents x ${turns} turns)`
    refuse('evalSamples', evalItems * evalSamples * team.length * turns, anEvaluation)
  }
  return issues
}

function checkOptimizer(optimizer: Required<OptimizerOptions>, expect: Expect): void {
  const { learningRate, betas, epsilon, weightDecay, maxGradNorm, schedule, warmupSteps } = optimizer
  const isRate = typeof learningRate === 'number' && learningRate >= 0 && Number.isFinite(learningRate)
  expect('optimizer.learningRate', learningRate, isRate, 'a number from 0 up')
  const areBetas = betas.length === 2 && betas.every((beta) => beta >= 0 && beta < 1)
  expect('optimizer.betas', betas, areBetas, 'two numbers from 0 to below 1')
  expect('optimizer.epsilon', epsilon, isPositive(epsilon), 'a number above 0')
  expect('optimizer.weightDecay', weightDecay, weightDecay >= 0, 'a number from 0 up')
  expect('optimizer.maxGradNorm', maxGradNorm, maxGradNorm >= 0, 'a number from 0 up')
  expect('optimizer.schedule', schedule, scheduleNames.includes(schedule), scheduleNames.join(', '))
  expect('optimizer.warmupSteps', warmupSteps, isCount(warmupSteps, 0), 'an integer from 0 up')
}

function checkPlan(algorithm: Algorithm, team: readonly AgentSummary[], task: { transition?: unknown }): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  if (algorithm.name === 'grpo' && team.length !== 1) {
    issues.push({ path: 'algorithm', message: `expected one agent for grpo, received ${team.length}; use magrpo` })
  }
  if (algorithm.turns > 1 && task.transition === undefined) {
    issues.push({ path: 'algorithm.turns', message: `expected a task with a transition for ${algorithm.turns} turns` })
  }
  const { jointMode, groupSize, maxJointActions } = algorithm
  const joint = jointMode === 'cross' ? groupSize ** team.length : groupSize
  if (joint > maxJointActions) {
    const count = jointMode === 'cross' ? `groupSize^agents = ${groupSize}^${team.length} = ${joint}` : String(joint)
    issues.push({
      path: 'algorithm.groupSize',
      message:
        `expected at most ${maxJointActions} joint actions a prompt (algorithm.maxJointActions), received ${count} in ` +
        `jointMode '${jointMode}'; each is a reward call. Use align, fewer samples, or raise maxJointActions`,
    })
  }
  if (trainedPolicies(team).every((policy) => policy === null)) {
    issues.push({ path: 'team', message: 'expected at least one agent that can be trained, received frozen ones only' })
  }
  return issues
}

function collector(): { issues: ConfigIssue[]; expect: Expect } {
  const issues: ConfigIssue[] = []
  const expect: Expect = (path, value, isRight, expected) => {
    if (!isRight) issues.push({ path, message: `expected ${expected}, received ${String(value)}` })
  }
  return { issues, expect }
}

function isCount(value: unknown, smallest: number): value is number {
  return Number.isInteger(value) && (value as number) >= smallest
}

function isPositive(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && Number.isFinite(value)
}
