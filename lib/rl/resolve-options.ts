/** Checks the options of a run and fills in their defaults, before anything is done. */
import type { z } from 'zod'
import { ConfigError, type ConfigIssue, MagrpoError } from '../base/errors.ts'
import { defined } from '../base/fields.ts'
import { noLines, validate } from '../base/validate.ts'
import { type ResolvedSampling, type Sampling, samplingSection } from '../model/sampling.ts'
import type { Task } from '../tasks/task/types.ts'
import { magrpo } from './algorithms/magrpo.ts'
import { algorithmEntry } from './algorithms/registry.ts'
import { checkAgents, trainedPolicies } from './backend/training-backend.ts'
import type { Algorithm } from './options/algorithm.ts'
import { optimizerSection } from './options/optimizer.ts'
import { runSection } from './options/run.ts'
import { stepsOfEpochs } from './rollout/item-order.ts'
import { rewardTimeoutOf } from './rollout/reward-queue.ts'
import type { TrainOptions } from './train-options.ts'
import type { AgentSummary, ResolvedTrainOptions } from './types/options.ts'

/**
 * Options with every default filled in.
 *
 * @throws ConfigError listing everything out of range
 * @throws MagrpoError `ERR_TASK` where task and team do not fit
 */
export function resolveTrainOptions(options: Omit<TrainOptions, 'team'>, agents: AgentSummary[]): ResolvedTrainOptions {
  const { task } = options
  checkAgents(agents, task)
  if (task.items.length === 0) {
    throw new MagrpoError('ERR_TASK', `Expected at least one item in task '${task.name}' but received none.`)
  }
  const heldOut = task.heldOut?.length ?? 0
  const {
    team: _team,
    task: _task,
    algorithm = magrpo(),
    sampling,
    optimizer,
    sinks: _sinks,
    signal: _signal,
    ...given
  } = options as Partial<TrainOptions>
  const settings = checked(runSection, given)
  const speed = checked(optimizerSection, optimizer, ['optimizer'])
  const drawing = resolveSampling(sampling, task.defaults)
  const issues = [...settings.issues, ...speed.issues, ...drawing.issues]
  if (settings.value === null || speed.value === null || drawing.value === null) throw new ConfigError(issues, where)
  const { steps, epochs, promptsPerStep, evalItems, maxTokensPerMicroBatch, rewardTimeoutMs, ...plain } = settings.value
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
    algorithm: withThreshold(algorithm, task.defaults),
    sampling: drawing.value,
    optimizer: speed.value,
    steps: steps ?? stepsOfEpochs(task.items.length, epochs ?? 0, promptsPerStep),
    epochs: epochs ?? null,
    promptsPerStep,
    maxTokensPerMicroBatch: maxTokensPerMicroBatch ?? null,
    evalItems: Math.min(evalItems, Math.max(1, heldOut)),
    rewardTimeoutMs: rewardTimeoutOf(rewardTimeoutMs, task.defaults),
    ...plain,
  }
  issues.push(...checkTogether(resolved, options))
  if (issues.length > 0) throw new ConfigError(issues, where)
  return resolved
}

const where = 'The configuration of the run'

/** A section's value with its defaults; or null with what is wrong. */
function checked<T>(schema: z.ZodType<T>, given: unknown, prefix: readonly string[] = []) {
  const { value, issues } = validate(schema, given, noLines, prefix)
  return { value, issues: issues ?? [] }
}

function withThreshold(algorithm: Algorithm, defaults: Task['defaults']): ResolvedTrainOptions['algorithm'] {
  const { terminationThreshold: given } = algorithm
  return { ...algorithm, terminationThreshold: given === 'task' ? (defaults?.terminationThreshold ?? null) : given }
}

/**
 * Sampling with every default filled in: what is given, else what the task asks for, else the library's.
 *
 * @param options `greedy` is refused in training, where all samples of a group would be equal
 */
export function resolveSampling(
  given: Sampling = {},
  task: Task['defaults'] = {},
  { greedy = false }: { greedy?: boolean } = {},
): { value: ResolvedSampling | null; issues: ConfigIssue[] } {
  const { temperature, topP, maxNewTokens, stop } = task
  const asked = { temperature, topP, maxNewTokens, stop, ...defined(given) }
  const result = checked(samplingSection, defined(asked), ['sampling'])
  if (greedy || result.value?.temperature !== 0) return result
  const message = 'expected a number above 0 (greedy samples of a group are all equal); received 0'
  return { ...result, issues: [...result.issues, { path: 'sampling.temperature', message }] }
}

/** What no field alone can say. */
function checkTogether(resolved: ResolvedTrainOptions, given: Omit<TrainOptions, 'team'>): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  if ((given.steps === undefined) === (given.epochs === undefined)) {
    const received = given.steps === undefined ? 'neither' : 'both'
    issues.push({ path: 'steps', message: `expected either steps or epochs, received ${received}` })
  }
  const { evalEvery, task, pipelineDepth, algorithm } = resolved
  if (evalEvery > 0 && task.heldOut === 0) {
    issues.push({ path: 'evalEvery', message: `expected held-out items in task '${task.name}' to evaluate on` })
  }
  if (pipelineDepth > 0 && algorithm.turns > 1) {
    const message = `expected 0 for ${algorithm.turns} turns: later turns wait for the rewards of earlier ones`
    issues.push({ path: 'pipelineDepth', message })
  }
  return [...issues, ...checkSize(resolved), ...checkPlan(algorithm, resolved.team, given.task)]
}

/** Completions that a step or an evaluation may hold in memory; more than any run needs, and fewer than a heap can hold. */
const maxCompletions = 2 ** 18

/** What a step and an evaluation hold in memory, and into how many parts a step can be cut. */
function checkSize(resolved: ResolvedTrainOptions): ConfigIssue[] {
  const { promptsPerStep, minibatches, algorithm, team, evalEvery, evalItems, evalSamples } = resolved
  const issues: ConfigIssue[] = []
  const { groupSize, jointMode, turns } = algorithm
  const refuse = (path: string, count: number, how: string) => {
    if (!(count > maxCompletions)) return
    const message = `expected at most ${maxCompletions} completions ${how}, received ${count}; use a smaller number`
    issues.push({ path, message })
  }
  const joint = jointMode === 'cross' ? groupSize ** team.length : groupSize
  let nodes = 0
  for (let turn = 0; turn < Math.min(turns, 64); turn++) nodes += joint ** turn
  const aPrompt = nodes * groupSize * team.length
  const aStep = `a step (promptsPerStep ${promptsPerStep} x ${aPrompt} completions a prompt)`
  if (aPrompt > maxCompletions)
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

function checkPlan(algorithm: Algorithm, team: readonly AgentSummary[], task: { transition?: unknown }): ConfigIssue[] {
  const issues: ConfigIssue[] = []
  const { name, maxAgents = Infinity } = algorithmEntry(algorithm)
  if (team.length > maxAgents) {
    const most = maxAgents === 1 ? 'one agent' : `at most ${maxAgents} agents`
    issues.push({ path: 'algorithm', message: `expected ${most} for ${name}, received ${team.length}; use magrpo` })
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
