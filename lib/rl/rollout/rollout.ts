/**
 * Rollouts: all agents answer all prompts of a turn in one batch, joint actions are rewarded, branches that go on get
 * the next turn's prompts. Liu et al. (AAAI 2026), Algorithm 1, first half.
 */

import { MagrpoError } from '../../base/errors.ts'
import { mean, present } from '../../base/statistics.ts'
import type { SampleEvent } from '../../model/generate.ts'
import type { TurnFeedback, TurnHistory } from '../../tasks/task/types.ts'
import type { EngineRequest } from '../backend/engine.ts'
import type { StepItem } from './item-order.ts'
import { jointActions, jointCount } from './joint.ts'
import type { RolloutPlan } from './plan.ts'
import type { Row } from './row.ts'
import { firstPrompt, isPrompt, taskError, withPlace } from './task-calls.ts'
import { type JointAction, jointOf, type RolloutNode } from './tree.ts'
import { TurnRewards } from './turn-rewards.ts'

/** All nodes of a rollout and what it cost. */
export interface Rollout {
  /** Turn by turn; within a turn in the order of their parents. Roots first, in the order of `chosen`. */
  nodes: RolloutNode[]
  generateSeconds: number
  /** What rewards took after the last token: those of early completions run while others are written. */
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
export async function rollOut(plan: RolloutPlan): Promise<Rollout> {
  const rollout: Rollout = { nodes: [], generateSeconds: 0, rewardSeconds: 0, newTokens: 0 }
  let open = plan.chosen.map((entry) => rootOf(plan, entry))
  for (let turn = 0; open.length > 0; turn++) {
    const nodes = await playTurn(plan, open, rollout)
    rollout.nodes.push(...nodes)
    open = turn + 1 < plan.turns ? await nextTurn(plan, nodes) : []
  }
  return rollout
}

function rootOf(plan: RolloutPlan, { item, slot }: StepItem): OpenNode {
  const { task, items, policies } = plan
  // Items to skip were never chosen.
  const prompts = policies.map((_, agent) => {
    const prompt = firstPrompt(task, items, item, agent)
    return playedPrompt(plan, { item, turn: 0 }, agent, prompt) ?? prompt
  })
  return { parent: null, item, slot, turn: 0, number: 0, history: [], prompts }
}

/** A prompt as it is played, null for one to skip; errors name its place. */
function playedPrompt(
  { lengths, task }: RolloutPlan,
  place: { item: number; turn: number },
  agent: number,
  prompt: OpenNode['prompts'][number],
): OpenNode['prompts'][number] | null {
  try {
    return lengths === undefined ? prompt : lengths.played(agent, prompt)
  } catch (error) {
    if (!(error instanceof MagrpoError)) throw error
    throw withPlace(error, { task: task.name, agent: task.agents[agent]!, ...place })
  }
}

/**
 * Lets all agents answer at all nodes, in one batch. A joint action is rewarded as soon as each of its completions has ended, while
 * longer ones are still being written; all rewards are in when it returns.
 */
async function playTurn(plan: RolloutPlan, open: readonly OpenNode[], rollout: Rollout): Promise<RolloutNode[]> {
  const agents = plan.policies.length
  const nodes = open.map((node) => emptyNode(plan, node))
  const { row } = plan
  const isSplit = row !== undefined && !row.isSole
  const judged = isSplit ? nodes.filter(({ slot }) => row.judges(slot)) : nodes
  const stop = new AbortController()
  const rewards = new TurnRewards(plan, judged, (error) => stop.abort(error))
  const onSample = ({ request, sample, value }: SampleEvent) =>
    rewards.take(nodes[Math.floor(request / agents)]!, request % agents, sample, value)
  const start = performance.now()
  let generatedAt = start
  try {
    const { generations, stats } = await generate(plan, open, stop.signal, onSample)
    generatedAt = performance.now()
    plan.onGenerated?.()
    rollout.generateSeconds += (generatedAt - start) / 1000
    rollout.newTokens += stats.newTokens
    for (const [request, { promptIds, samples }] of generations.entries()) {
      nodes[Math.floor(request / agents)]!.promptIds.push(promptIds)
      for (const [sample, value] of samples.entries()) onSample({ request, sample, value })
    }
  } catch (error) {
    rewards.end(error)
  }
  await rewards.settle()
  if (isSplit) await shareVerdicts(row, nodes, plan.signal)
  rollout.rewardSeconds += (performance.now() - generatedAt) / 1000
  for (const [index, { parent }] of open.entries()) if (parent !== null) parent.child = nodes[index]!
  return nodes
}

/** Lets this rank's agents answer, and gets what the others of its row wrote. `onSample` hears of its own as they end. */
async function generate(
  plan: RolloutPlan,
  open: readonly OpenNode[],
  signal: AbortSignal,
  onSample: (event: SampleEvent) => void,
) {
  const { engine, sampling, row } = plan
  const requests = requestsOf(plan, open)
  const own = [...requests.keys()].filter((request) => row?.holds(requests[request]!.policy) ?? true)
  const written = await engine
    .generate(
      own.map((request) => requests[request]!),
      sampling,
      { signal, onSample: (event) => onSample({ ...event, request: own[event.request]! }) },
    )
    .catch((error: unknown) => {
      throw withItem(error, plan, open, own)
    })
  if (row === undefined || row.isSole) return written
  const policies = requests.map(({ policy }) => policy)
  return row.together(`wrote/${open[0]!.turn}`, policies, written, signal)
}

/** Of a joint action: what its reward said. */
type Verdict = Pick<JointAction, 'reward' | 'parts' | 'reason' | 'retries' | 'metrics'>

/** Fills in what the other ranks of the row know of the nodes that they judged. */
async function shareVerdicts(row: Row, nodes: readonly RolloutNode[], signal: AbortSignal | undefined): Promise<void> {
  const own = nodes
    .filter(({ slot }) => row.judges(slot))
    .map(({ joints }) => joints.map(({ picks: _, child: __, ...verdict }): Verdict => verdict))
  const all = (await row.gather(`verdicts/${nodes[0]!.turn}`, own, signal)).flat()
  for (const [index, { joints }] of nodes.entries())
    for (const [joint, action] of joints.entries()) Object.assign(action, all[index]![joint])
}

function requestsOf(plan: RolloutPlan, open: readonly OpenNode[]): EngineRequest[] {
  const { policies, seed, step } = plan
  return open.flatMap((node) =>
    policies.map((policy, agent) => ({
      policy,
      prompt: node.prompts[agent]!,
      count: groupSizeOf(plan, node.turn),
      stream: { seed, step, agent, prompt: node.slot, sample: (node.number * plan.groupSize) >>> 0 },
    })),
  )
}

function emptyNode(plan: RolloutPlan, { parent: _, ...branch }: OpenNode): RolloutNode {
  const { policies, jointMode } = plan
  const picks = jointActions(jointMode, policies.length, groupSizeOf(plan, branch.turn))
  return {
    ...branch,
    promptIds: [],
    samples: policies.map(() => []),
    completions: policies.map(() => []),
    joints: picks.map((tuple) => ({ picks: tuple, reward: 0, parts: {}, metrics: {}, child: null })),
  }
}

/** The number of a turn's first node in the whole tree: how many nodes the turns before it have. */
function firstNumber(plan: RolloutPlan, turn: number): number {
  const { jointMode, policies } = plan
  let [first, width] = [0, 1]
  for (let earlier = 0; earlier < turn; earlier++) {
    first += width
    width *= jointCount({ jointMode, groupSize: groupSizeOf(plan, earlier) }, policies.length)
  }
  return first
}

function groupSizeOf(plan: RolloutPlan, turn: number): number {
  return turn === 0 ? plan.groupSize : plan.laterGroupSize
}

/** Asks the task for what follows each joint action; the threshold ends a node with all its branches. */
async function nextTurn(plan: RolloutPlan, nodes: readonly RolloutNode[]): Promise<OpenNode[]> {
  const { terminationThreshold } = plan
  // A node without any verdict is not known to be above it.
  const going = nodes.filter(
    ({ joints }) =>
      terminationThreshold === null || !(mean(present(joints.map(({ reward }) => reward))) > terminationThreshold),
  )
  const branches = going.flatMap((node) => node.joints.map((_, joint) => ({ node, joint })))
  const { row, signal } = plan
  const own = branches.filter(({ node }) => row?.judges(node.slot) ?? true)
  let turns = await Promise.all(own.map(({ node, joint }) => askTransition(plan, node, joint)))
  signal?.throwIfAborted()
  if (row !== undefined && !row.isSole && branches.length > 0)
    turns = (await row.gather(`turns/${nodes[0]!.turn}`, turns, signal)).flat()
  const children = branches.map(({ node, joint }, index) => continueBranch(plan, node, joint, turns[index]!))
  return children.filter((child) => child !== null)
}

const historyOf = (node: RolloutNode, joint: number): TurnHistory[] => [
  ...node.history,
  { prompts: node.prompts, completions: jointOf(node, node.joints[joint]!) },
]

/** What the task says to a joint action: the next turn, or none. */
async function askTransition(plan: RolloutPlan, node: RolloutNode, joint: number): Promise<TurnFeedback | 'stop'> {
  const { task, items, policies } = plan
  const history = historyOf(node, joint)
  const { completions } = history.at(-1)!
  const signal = plan.signal ?? new AbortController().signal
  const call = async () => task.transition!(items[node.item]!, completions, history, { signal })
  const feedback = await call().catch((error: unknown) => {
    plan.signal?.throwIfAborted()
    throw taskError(task.name, 'transition', node.item, error)
  })
  if (feedback === 'stop') return 'stop'
  checkFeedback(feedback, task.name, node.item, policies.length)
  const { prompts, metrics } = feedback
  return { prompts, metrics }
}

function continueBranch(
  plan: RolloutPlan,
  node: RolloutNode,
  joint: number,
  feedback: TurnFeedback | 'stop',
): OpenNode | null {
  if (feedback === 'stop') return null
  const action = node.joints[joint]!
  if (feedback.metrics) action.metrics = { ...action.metrics, ...feedback.metrics }
  const { item, slot, turn } = node
  const prompts = feedback.prompts.map((prompt, agent) => playedPrompt(plan, { item, turn: turn + 1 }, agent, prompt))
  if (!prompts.every((prompt) => prompt !== null)) return null
  const place = node.number - firstNumber(plan, turn)
  const number = firstNumber(plan, turn + 1) + place * node.joints.length + joint
  return { parent: action, item, slot, turn: turn + 1, number, history: historyOf(node, joint), prompts }
}

/** An error of one prompt of a batch, told of by its item and agent. */
function withItem(
  error: unknown,
  { task }: RolloutPlan,
  open: readonly OpenNode[],
  requests: readonly number[],
): unknown {
  if (!(error instanceof MagrpoError) || typeof error.details.prompt !== 'number') return error
  const { agents } = task
  const prompt = requests[error.details.prompt]!
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
