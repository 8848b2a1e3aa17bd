/**
 * Rollouts: all agents answer all prompts of a turn in one batch, joint actions are rewarded, branches that go on get
 * the next turn's prompts. Liu et al. (AAAI 2026), Algorithm 1, first half.
 */
import { MagrpoError } from '../errors.ts'
import type { Sampling } from '../model/types.ts'
import type { Task, TurnFeedback, TurnHistory } from '../tasks/types.ts'
import { type JointMode, jointActions } from './credit.ts'
import type { Engine, EngineRequest } from './engine.ts'
import type { StepItem } from './item-order.ts'
import { runRewards } from './reward-runner.ts'
import { completionOf, type JointAction, jointOf, type RolloutNode } from './rollout-tree.ts'
import type { RewardMemory } from './run-memory.ts'
import { mean } from './statistics.ts'
import { callTask, firstPrompt, isPrompt, taskError, withPlace } from './task-calls.ts'

/** What a rollout is made by. */
export interface RolloutPlan<Item> {
  engine: Engine
  /** (n) number of each agent's policy. */
  policies: readonly number[]
  task: Task<Item>
  /** The list that {@link StepItem.item} points into. */
  items: readonly Item[]
  chosen: readonly StepItem[]
  sampling: Sampling
  /** G of the first turn, and of the turns after it. */
  groupSize: number
  laterGroupSize: number
  jointMode: JointMode
  turns: number
  terminationThreshold: number | null
  /** With the agent, the slot and the sample they name each completion's random numbers. */
  seed: number
  step: number
  rewardConcurrency: number
  rewardTimeoutMs: number | null
  signal?: AbortSignal
  /**
   * Where verdicts are remembered, and what part of the run this rollout is. With slot, turn, node and joint action it is the place
   * of a joint completion: `PART/SLOT/TURN/NODE/JOINT`.
   */
  rewards?: { memory: RewardMemory; part: string }
}

/** All nodes of a rollout and what it cost. */
export interface Rollout {
  /** Turn by turn; within a turn in the order of their parents. Roots first, in the order of `chosen`. */
  nodes: RolloutNode[]
  generateSeconds: number
  rewardSeconds: number
  newTokens: number
}

/** A node before its agents have answered. */
type OpenNode = Pick<RolloutNode, 'item' | 'slot' | 'turn' | 'number' | 'history' | 'prompts'> & {
  /** The joint action it continues; null for a root. */
  parent: JointAction | null
}

/**
 * Rolls out one tree an item.
 *
 * Each turn is one `generate` call for all nodes and agents. A transition gets the branch's whole history, the turn just
 * ended included as its last entry.
 *
 * @throws MagrpoError `ERR_REWARD` (see `runRewards`), `ERR_TASK` for a task function that throws or returns something
 *   else than it should; the signal's reason
 */
export async function rollOut<Item>(plan: RolloutPlan<Item>): Promise<Rollout> {
  const rollout: Rollout = { nodes: [], generateSeconds: 0, rewardSeconds: 0, newTokens: 0 }
  let open = plan.chosen.map((entry) => rootOf(plan, entry))
  for (let turn = 0; open.length > 0; turn++) {
    const nodes = await generateTurn(plan, open, rollout)
    await rewardTurn(plan, nodes, rollout)
    rollout.nodes.push(...nodes)
    open = turn + 1 < plan.turns ? await nextTurn(plan, nodes) : []
  }
  return rollout
}

function rootOf<Item>({ task, items, policies }: RolloutPlan<Item>, { item, slot }: StepItem): OpenNode {
  const prompts = policies.map((_, agent) => firstPrompt(task, items, item, agent))
  return { parent: null, item, slot, turn: 0, number: 0, history: [], prompts }
}

/** Lets all agents answer at all nodes, in one batch. */
async function generateTurn<Item>(
  plan: RolloutPlan<Item>,
  open: readonly OpenNode[],
  rollout: Rollout,
): Promise<RolloutNode[]> {
  const { policies, seed, step } = plan
  const requests = open.flatMap((node): EngineRequest[] => {
    const count = groupSizeOf(plan, node.turn)
    return policies.map((policy, agent) => ({
      policy,
      prompt: node.prompts[agent]!,
      count,
      stream: { seed, step, agent, prompt: node.slot, sample: (node.number * plan.groupSize) >>> 0 },
    }))
  })
  const start = performance.now()
  const { generations, stats } = await plan.engine
    .generate(requests, plan.sampling, { signal: plan.signal })
    .catch((error: unknown) => {
      throw withItem(error, plan, open)
    })
  rollout.generateSeconds += (performance.now() - start) / 1000
  rollout.newTokens += stats.newTokens
  return open.map(({ parent, ...branch }, index) => {
    const own = generations.slice(index * policies.length, (index + 1) * policies.length)
    const picks = jointActions(plan.jointMode, policies.length, groupSizeOf(plan, branch.turn))
    const node: RolloutNode = {
      ...branch,
      promptIds: own.map(({ promptIds }) => promptIds),
      samples: own.map(({ samples }) => samples),
      completions: own.map(({ samples }) => samples.map(completionOf)),
      joints: picks.map((tuple) => ({ picks: tuple, reward: 0, parts: {}, metrics: {}, child: null })),
    }
    if (parent !== null) parent.child = node
    return node
  })
}

function groupSizeOf<Item>(plan: RolloutPlan<Item>, turn: number): number {
  return turn === 0 ? plan.groupSize : plan.laterGroupSize
}

/** Fills in reward, parts and metrics of all joint actions. */
async function rewardTurn<Item>(
  plan: RolloutPlan<Item>,
  nodes: readonly RolloutNode[],
  rollout: Rollout,
): Promise<void> {
  const { task, items } = plan
  const start = performance.now()
  const actions = nodes.flatMap((node) => node.joints.map((action, number) => ({ node, action, number })))
  const jobs = actions.map(({ node, action, number }) => ({
    item: items[node.item]!,
    index: node.item,
    joint: jointOf(node, action),
    place: plan.rewards && `${plan.rewards.part}/${node.slot}/${node.turn}/${node.number}/${number}`,
  }))
  const outcomes = await runRewards(task, jobs, {
    concurrency: plan.rewardConcurrency,
    timeoutMs: plan.rewardTimeoutMs,
    signal: plan.signal,
    memory: plan.rewards?.memory,
  })
  for (const [index, { action }] of actions.entries()) {
    const { item, index: itemIndex, joint } = jobs[index]!
    Object.assign(action, outcomes[index])
    if (task.metrics) {
      action.metrics = callTask(task.name, 'metrics', itemIndex, () => task.metrics!(item, joint))
    }
  }
  rollout.rewardSeconds += (performance.now() - start) / 1000
}

/** Asks the task for what follows each joint action; the threshold ends a node with all its branches. */
async function nextTurn<Item>(plan: RolloutPlan<Item>, nodes: readonly RolloutNode[]): Promise<OpenNode[]> {
  const { terminationThreshold } = plan
  const going = nodes.filter(
    (node) => terminationThreshold === null || mean(node.joints.map(({ reward }) => reward)) <= terminationThreshold,
  )
  const children = await Promise.all(
    going.flatMap((node) => node.joints.map((_, joint) => continueBranch(plan, node, joint))),
  )
  plan.signal?.throwIfAborted()
  return children.filter((child) => child !== null)
}

async function continueBranch<Item>(
  plan: RolloutPlan<Item>,
  node: RolloutNode,
  joint: number,
): Promise<OpenNode | null> {
  const { task, items, policies } = plan
  const action = node.joints[joint]!
  const completions = jointOf(node, action)
  const history: TurnHistory[] = [...node.history, { prompts: node.prompts, completions }]
  const signal = plan.signal ?? new AbortController().signal
  const call = async () => task.transition!(items[node.item]!, completions, history, { signal })
  const feedback = await call().catch((error: unknown) => {
    plan.signal?.throwIfAborted()
    throw taskError(task.name, 'transition', node.item, error)
  })
  if (feedback === 'stop') return null
  checkFeedback(feedback, task.name, node.item, policies.length)
  if (feedback.metrics) action.metrics = { ...action.metrics, ...feedback.metrics }
  const number = node.number * node.joints.length + joint + 1
  const { item, slot, turn } = node
  return { parent: action, item, slot, turn: turn + 1, number, history, prompts: feedback.prompts }
}

/** An error of one prompt of a batch, told of by its item and agent. */
function withItem<Item>(error: unknown, { task }: RolloutPlan<Item>, open: readonly OpenNode[]): unknown {
  if (!(error instanceof MagrpoError) || typeof error.details.prompt !== 'number') return error
  const { agents } = task
  const { prompt } = error.details
  const node = open[Math.floor(prompt / agents.length)]
  const agent = agents[prompt % agents.length]
  if (node === undefined || agent === undefined) return error
  return withPlace(error, { task: task.name, agent, item: node.item, turn: node.turn })
}

function checkFeedback(feedback: TurnFeedback, task: string, item: number, agents: number): void {
  const prompts: unknown = feedback?.prompts
  const wrong = Array.isArray(prompts) ? prompts.findIndex((prompt) => !isPrompt(prompt)) : -1
  if (Array.isArray(prompts) && prompts.length === agents && wrong < 0) return
  const received = !Array.isArray(prompts)
    ? 'no prompts'
    : prompts.length === agents
      ? `${typeof prompts[wrong]} as prompt ${wrong}`
      : `${prompts.length} prompts`
  throw new MagrpoError(
    'ERR_TASK',
    `Expected 'stop' or ${agents} prompts, one an agent, from the transition of task '${task}' but received ${received} ` +
      `for item ${item}.`,
    { details: { task, item } },
  )
}
