/** The rewards of one turn, each asked for when the last completion of its joint action has ended. */
import type { Sample } from '../model/types.ts'
import { type RewardJob, RewardQueue } from './reward-runner.ts'
import type { RolloutPlan } from './rollout.ts'
import { completionOf, type JointAction, jointOf, type RolloutNode } from './rollout-tree.ts'
import { callTask } from './task-calls.ts'

/** Fills in samples, completions, rewards, parts and metrics of the nodes of a turn. */
export class TurnRewards<Item> {
  readonly #plan: RolloutPlan<Item>
  readonly #nodes: readonly RolloutNode[]
  readonly #queue: RewardQueue<Item>
  /** In the order they were queued. */
  readonly #queued: JointAction[] = []

  /** @param onFailure called with the first failure of a reward or the reason of an abort, when it comes */
  constructor(plan: RolloutPlan<Item>, nodes: readonly RolloutNode[], onFailure: (error: unknown) => void) {
    this.#plan = plan
    this.#nodes = nodes
    const { task, rewardConcurrency: concurrency, rewardTimeoutMs: timeoutMs, signal, rewards } = plan
    this.#queue = new RewardQueue(task, { concurrency, timeoutMs, signal, memory: rewards?.memory }, onFailure)
  }

  /** Takes a sample that has ended; the same one again does nothing. */
  take(node: RolloutNode, agent: number, sample: number, value: Sample): void {
    if (node.samples[agent]![sample] !== undefined) return
    node.samples[agent]![sample] = value
    node.completions[agent]![sample] = completionOf(value)
    for (const [number, action] of node.joints.entries()) {
      if (action.picks[agent] !== sample) continue
      if (action.picks.some((pick, other) => node.samples[other]![pick] === undefined)) continue
      this.#queued.push(action)
      this.#queue.add(this.#job(node, action, number))
    }
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
    const { task, items } = this.#plan
    for (const [index, outcome] of (await this.#queue.outcomes()).entries())
      Object.assign(this.#queued[index]!, outcome)
    if (task.metrics === undefined) return
    for (const node of this.#nodes)
      for (const action of node.joints)
        action.metrics = callTask(task.name, 'metrics', node.item, () =>
          task.metrics!(items[node.item]!, jointOf(node, action)),
        )
  }

  #job(node: RolloutNode, action: JointAction, number: number): RewardJob<Item> {
    const { items, rewards } = this.#plan
    return {
      item: items[node.item]!,
      index: node.item,
      joint: jointOf(node, action),
      place: rewards && `${rewards.part}/${node.slot}/${node.turn}/${node.number}/${number}`,
    }
  }
}
