/** The rewards of one turn, each asked for when the last completion of its joint action has ended. */
import type { Sample } from '../../model/types.ts'
import type { RolloutPlan } from './plan.ts'
import { type RewardJob, RewardQueue } from './reward-queue.ts'
import { callTask } from './task-calls.ts'
import { completionOf, type JointAction, jointOf, type RolloutNode } from './tree.ts'

/** Fills in samples, completions, rewards, parts and metrics of the nodes of a turn. */
export class TurnRewards {
  readonly #plan: RolloutPlan
  readonly #queue: RewardQueue
  /** In the order they were queued. */
  readonly #queued: JointAction[] = []

  /** @param onFailure called with the first failure of a reward or the reason of an abort, when it comes */
  constructor(plan: RolloutPlan, onFailure: (error: unknown) => void) {
    this.#plan = plan
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
    for (const [index, outcome] of (await this.#queue.outcomes()).entries())
      Object.assign(this.#queued[index]!, outcome)
  }

  #job(node: RolloutNode, action: JointAction, number: number): RewardJob {
    const { task, items, rewards } = this.#plan
    const item = items[node.item]!
    const joint = jointOf(node, action)
    return {
      item,
      index: node.item,
      joint,
      metrics: task.metrics && (() => callTask(task.name, 'metrics', node.item, () => task.metrics!(item, joint))),
      place: rewards && `${rewards.part}/${node.slot}/${node.turn}/${node.number}/${number}`,
    }
  }
}
