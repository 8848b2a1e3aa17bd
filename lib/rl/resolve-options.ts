/** Checks the options of a run and fills in their defaults, before anything is done. */
import { shortly } from '../base/arguments.ts'
import { ConfigError, type ConfigIssue, MagrpoError } from '../base/errors.ts'
import { defined } from '../base/fields.ts'
import { noLines, validate } from '../base/validate.ts'
import { type ResolvedSampling, type Sampling, samplingSection } from '../model/sampling.ts'
import { expectTask } from '../tasks/task/check-task.ts'
import type { Task } from '../tasks/task/types.ts'
import { magrpo } from './algorithms/magrpo.ts'
import { algorithmEntry, algorithms } from './algorithms/registry.ts'
import { checkAgents, trainedPolicies } from './backend/training-backend.ts'
import type { Algorithm } from './options/algorithm.ts'
import { optimizerSection } from './options/optimizer.ts'
import { runSection } from './options/run.ts'
import { stepsOfEpochs } from './rollout/item-order.ts'
import { jointCount } from './rollout/joint.ts'
import { rewardTimeoutOf } from './rollout/reward-queue.ts'
import type { TrainOptions } from './train-options.ts'
import type { AgentSummary, ResolvedTrainOptions } from './types/options.ts'

/**
 * Options with every default filled in.
 *
 * @param where `ranks`: processes that train the team together, by default one; `devices`: of the agents, by default `cpu` each
 * @throws ConfigError listing everything out of range
 * @throws MagrpoError `ERR_TASK` where task and team do not fit
 */
export function resolveTrainOptions(
  options: Omit<TrainOptions, 'team'>,
  agents: AgentSummary[],
  { ranks = 1, devices = [] }: { ranks?: number; devices?: readonly string[] } = {},
): ResolvedTrainOptions {
  const { task } = options
  expectTask(task, 'train')
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
  checkAlgorithm(algorithm)
  const settings = validate(runSection, given)
  const speed = validate(optimizerSection, optimizer, noLines, ['optimizer'])
  const drawing = resolveSampling(sampling, task.defaults)
  const issues = [...(settings.issues ?? []), ...(speed.issues ?? []), ...drawing.issues]
  if (settings.value === null || speed.value === null || drawing.value === null) throw new ConfigError(issues, where)
  const { steps, epochs, promptsPerStep, evalItems, maxTokensPerMicroBatch, rewardTimeoutMs, ...plain } = settings.value
  const { terminationThreshold: threshold } = algorithm
  const own = task.defaults?.terminationThreshold ?? null
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
    algorithm: { ...algorithm, terminationThreshold: threshold === 'task' ? own : threshold },
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
  const refuse: Refuse = (path, message) => issues.push({ path, message })
  checkTogether(resolved, options, refuse)
  checkSize(resolved, refuse)
  checkPlan(resolved, task, refuse)
  checkSharded(resolved, ranks, refuse)
  checkOffload(resolved, devices, refuse)
  if (issues.length > 0) throw new ConfigError(issues, where)
  return resolved
}

const where = 'The configuration of the run'

/** @throws ConfigError for what no algorithm's function has made */
function checkAlgorithm(algorithm: Algorithm): void {
  const { name, groupSize } = (algorithm ?? {}) as Partial<Algorithm>
  if (typeof name === 'string' && typeof groupSize === 'number') return
  const example = typeof name === 'string' && Object.hasOwn(algorithms, name) ? name : 'magrpo'
  const message = `expected what ${example}({ … }) gives; received ${shortly(algorithm)}`
  throw new ConfigError([{ path: 'algorithm', message }], where)
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
  if (typeof given !== 'object' || given === null || Array.isArray(given) || (given as unknown) instanceof Promise) {
    const message = `expected an object; received ${shortly(given)}`
    return { value: null, issues: [{ path: 'sampling', message }] }
  }
  const asked = { temperature, topP, maxNewTokens, stop, ...defined(given) }
  const { value, issues } = validate<ResolvedSampling>(samplingSection, defined(asked), noLines, ['sampling'])
  if (greedy || value?.temperature !== 0) return { value, issues: issues ?? [] }
  const message = 'expected a number above 0 (greedy samples of a group are all equal); received 0'
  return { value, issues: [{ path: 'sampling.temperature', message }] }
}

/** Takes down what is wrong with a setting. */
type Refuse = (path: string, message: string) => void

/** What no field alone can say. */
function checkTogether(resolved: ResolvedTrainOptions, given: Omit<TrainOptions, 'team'>, refuse: Refuse): void {
  const { evalEvery, task, pipelineDepth, algorithm } = resolved
  if ((given.steps === undefined) === (given.epochs === undefined)) {
    const received = given.steps === undefined ? 'neither' : 'both'
    refuse('steps', `expected either steps or epochs, received ${received}`)
  }
  if (evalEvery > 0 && task.heldOut === 0)
    refuse('evalEvery', `expected held-out items in task '${task.name}' to evaluate on`)
  if (pipelineDepth > 0 && algorithm.turns > 1)
    refuse('pipelineDepth', `expected 0 for ${algorithm.turns} turns: later turns wait for the rewards of earlier ones`)
}

/** Completions that a step or an evaluation may hold in memory; more than any run needs, and fewer than a heap can hold. */
const maxCompletions = 2 ** 18

/** What a step and an evaluation hold in memory, and into how many parts a step can be cut. */
function checkSize(resolved: ResolvedTrainOptions, refuse: Refuse): void {
  const { promptsPerStep, minibatches, algorithm, team, evalEvery, evalItems, evalSamples } = resolved
  const { groupSize, turns } = algorithm
  const limit = (path: string, count: number, how: string) => {
    if (count > maxCompletions)
      refuse(path, `expected at most ${maxCompletions} completions ${how}, received ${count}; use a smaller number`)
  }
  const joint = jointCount(algorithm, team.length)
  let nodes = 0
  for (let turn = 0; turn < Math.min(turns, 64); turn++) nodes += joint ** turn
  const aPrompt = nodes * groupSize * team.length
  if (aPrompt > maxCompletions) {
    const path = turns > 1 ? 'algorithm.turns' : 'algorithm.groupSize'
    limit(path, aPrompt, `a prompt (groupSize ${groupSize}, ${turns} turns)`)
  } else {
    const aStep = `a step (promptsPerStep ${promptsPerStep} x ${aPrompt} completions a prompt)`
    limit('promptsPerStep', promptsPerStep * aPrompt, aStep)
  }
  if (minibatches > promptsPerStep * nodes) {
    const groups = `the groups of a step (promptsPerStep ${promptsPerStep}${turns > 1 ? `, up to ${nodes} turns each` : ''})`
    refuse('minibatches', `expected at most ${promptsPerStep * nodes}, ${groups}, received ${minibatches}`)
  }
  if (evalEvery > 0) {
    const anEvaluation = `an evaluation (evalItems ${evalItems} x evalSamples ${evalSamples} x ${team.length} agents x ${turns} turns)`
    limit('evalSamples', evalItems * evalSamples * team.length * turns, anEvaluation)
  }
}

/** Whether there is something to spread, and something to spread it over. */
function checkSharded({ optimizer, team }: ResolvedTrainOptions, ranks: number, refuse: Refuse): void {
  if (!optimizer.sharded) return
  const path = 'optimizer.sharded'
  const adapters = team.filter(({ kind }) => kind === 'lora').map(({ name }) => `'${name}'`)
  if (adapters.length > 0)
    refuse(
      path,
      `expected agents whose weights are all trained (team.adapter: full), but ${adapters.join(', ')} ${adapters.length > 1 ? 'train adapters' : 'trains an adapter'}, ` +
        'whose moments are small; leave optimizer.sharded out',
    )
  if (ranks === 1)
    refuse(
      path,
      'expected several processes to spread the optimizer over, received one; start some with --processes 2 (processes: 2) or a launcher, or leave optimizer.sharded out',
    )
}

/** Whether moments and masters are anywhere but in the host's memory. */
function checkOffload({ optimizer, team }: ResolvedTrainOptions, devices: readonly string[], refuse: Refuse): void {
  if (!optimizer.offload) return
  const onHost = team.flatMap(({ name, kind }, agent) =>
    kind !== 'base' && (devices[agent] ?? 'cpu') === 'cpu' ? [`'${name}'`] : [],
  )
  if (onHost.length === 0) return
  refuse(
    'optimizer.offload',
    `expected agents on CUDA devices (team.device), but ${onHost.join(', ')} ${onHost.length > 1 ? 'train' : 'trains'} on the processor, ` +
      "where moments and masters are in the host's memory already; leave optimizer.offload out",
  )
}

/** Whether the algorithm can be played by the team on the task. */
function checkPlan({ algorithm, team }: ResolvedTrainOptions, task: Task, refuse: Refuse): void {
  const { name, maxAgents = Infinity } = algorithmEntry(algorithm)
  if (team.length > maxAgents) {
    const most = maxAgents === 1 ? 'one agent' : `at most ${maxAgents} agents`
    refuse('algorithm', `expected ${most} for ${name}, received ${team.length}; use magrpo`)
  }
  if (algorithm.turns > 1 && task.transition === undefined)
    refuse('algorithm.turns', `expected a task with a transition for ${algorithm.turns} turns`)
  const { jointMode, groupSize, maxJointActions } = algorithm
  const joint = jointCount(algorithm, team.length)
  if (joint > maxJointActions) {
    const count = jointMode === 'cross' ? `groupSize^agents = ${groupSize}^${team.length} = ${joint}` : String(joint)
    refuse(
      'algorithm.groupSize',
      `expected at most ${maxJointActions} joint actions a prompt (algorithm.maxJointActions), received ${count} in ` +
        `jointMode '${jointMode}'; each is a reward call. Use align, fewer samples, or raise maxJointActions`,
    )
  }
  if (trainedPolicies(team).every((policy) => policy === null))
    refuse('team', 'expected at least one agent that can be trained, received frozen ones only')
}
