/** The rewards of one turn, each asked for when the last completion of its joint action has ended, or of its group or turn. */
import type { Sample } from '../../model/types.ts'
import type { RolloutPlan } from './plan.ts'
import { type RewardJob, RewardQueue } from './reward-queue.ts'
import { callTask } from './task-calls.ts'
import { completionOf, type JointAction, jointOf, type RolloutNode } from './tree.ts'

/** Fills in samples and completions of the nodes of a turn; of those that are judged also rewards, parts and metrics. */
export class TurnRewards {
  readonly #plan: RolloutPlan
  readonly #queue: RewardQueue
  readonly #nodes: readonly RolloutNode[]
  /** In the order they were queued. */
  readonly #queued: JointAction[] = []
  /** Joint actions of a node that still lack a completion. */
  readonly #open: Map<RolloutNode, number>

  /**
   * @param nodes those of the turn that are judged
   * @param onFailure called with the first failure of a reward or the reason of an abort, when it comes
   */
  constructor(plan: RolloutPlan, nodes: readonly RolloutNode[], onFailure: (error: unknown) => void) {
    this.#plan = plan
    this.#nodes = nodes
    this.#open = new Map(nodes.map((node) => [node, node.joints.length]))
    const { task, rewardConcurrency: concurrency, rewardTimeoutMs: timeoutMs, signal, rewards } = plan
    this.#queue = new RewardQueue(task, { concurrency, timeoutMs, signal, memory: rewards?.memory }, onFailure)
  }

  /** Takes a sample that has ended; the same one again does nothing. */
  take(node: RolloutNode, agent: number, sample: number, value: Sample): void {
    if (node.samples[agent]![sample] !== undefined) return
    node.samples[agent]![sample] = value
    node.completions[agent]![sample] = completionOf(value)
    const open = this.#open.get(node)
    if (open === undefined) return
    const whole = node.joints.flatMap(({ picks }, number): [RolloutNode, number][] => {
      const isWhole = picks[agent] === sample && picks.every((pick, other) => node.samples[other]![pick] !== undefined)
      return isWhole ? [[node, number]] : []
    })
    this.#open.set(node, open - whole.length)
    const { batch } = this.#plan.task
    if (batch === undefined) for (const place of whole) this.#ask([place])
    else if (whole.length > 0) this.#askTogether(batch.per === 'group' ? [node] : this.#nodes)
  }

  /** Asks for all rewards of these nodes, if their last completion has ended. */
  #askTogether(nodes: readonly RolloutNode[]): void {
    if (nodes.some((node) => this.#open.get(node) !== 0)) return
    this.#ask(nodes.flatMap((node) => node.joints.map((_, number): [RolloutNode, number] => [node, number])))
  }

  /** @param actions of one call: nodes with the numbers of their joint actions */
  #ask(actions: readonly [RolloutNode, number][]): void {
    this.#queued.push(...actions.map(([node, number]) => node.joints[number]!))
    this.#queue.add(actions.map(([node, number]) => this.#job(node, number)))
  }

  /** Ends the calls under way; {@link settle} rejects with the first error. */
  end(error: unknown): void {
    this.#queue.end(error)
  }

  /**
   * Waits for the last reward.
   *
   * @throws see `RewardQueue.outcomes`; MagrpoError `ERR_TASK` for metrics that throw
   */
  async settle(): Promise<void> {
    for (const [index, outcome] of (await this.#queue.outcomes()).entries())
      Object.assign(this.#queued[index]!, outcome)
  }

  #job(node: RolloutNode, number: number): RewardJob {
    const { task, items, rewards } = this.#plan
    const item = items[node.item]!
    const joint = jointOf(node, node.joints[number]!)
    return {
      item,
      index: node.item,
      joint,
      prompts: node.prompts,
      metrics: task.metrics && (() => callTask(task.name, 'metrics', node.item, () => task.metrics!(item, joint))),
      place: rewards && `${rewards.part}/${node.slot}/${node.turn}/${node.number}/${number}`,
    }
  }
}
