import { MagrpoError } from '../../base/errors.ts'
import { checkTaskParts } from './check-task.ts'
import { type Joint, nameJoint } from './completion.ts'
import { isPythonReward, type PythonReward, pythonReward } from './python-reward.ts'
import type { PythonRewardSettings } from './python-reward-options.ts'
import { rewardOf } from './reward-of.ts'
import type { BatchReward, RewardContext, RewardResult, Task, TaskParts } from './types.ts'

/** A task as a user writes it: its reward may be of many joint completions at once, or a Python function. */
export interface TaskDefinition<Item = unknown, Name extends string = string> extends TaskParts<Item, Name> {
  /** As `Task.reward`, a reward of a group or a step at a time, or the file and function of a reward in Python. */
  reward:
    | ((item: Item, joint: Joint<Name>, context: RewardContext) => RewardResult | Promise<RewardResult>)
    | BatchReward<Item, Name>
    | PythonRewardSettings
}

/**
 * Checks a task object and returns it, with its item type inferred; `joint.NAME` is then what the agent of this name wrote. A reward written in Python becomes a function; its process
 * starts at the first reward and ends with the task's `dispose()`, see {@link pythonReward}.
 *
 * @throws MagrpoError `ERR_TASK` if a required part is missing or empty, a part is unknown, or the file of a reward in Python is
 * @example
 * ```ts
 * const task = defineTask({
 *   name: 'haiku',
 *   agents: ['first', 'second'],
 *   items: [{ topic: 'rain' }],
 *   observe: (item, agent) => `Line ${agent + 1} of a poem about ${item.topic}:`,
 *   reward: (_item, joint) => (joint.first.text.length < joint.second.text.length ? 1 : 0),
 * })
 * ```
 */
export function defineTask<Item, const Name extends string = string>(task: TaskDefinition<Item, Name>): Task<Item> {
  checkTaskParts(task)
  const { reward } = task
  if (isPythonReward(reward)) return withProcess(task, pythonReward<Item>(reward))
  const fail = (what: string): never => {
    throw new MagrpoError('ERR_TASK', `Task ${JSON.stringify(task.name)}: ${what}.`)
  }
  if (isBatchReward<Item>(reward)) {
    if (!['group', 'step'].includes(reward.per)) fail("expected 'group' or 'step' as `per` of the reward")
    return withNames({ ...(task as unknown as Task<Item>), ...rewardOf(reward) })
  }
  if (typeof reward !== 'function')
    fail('expected a function `reward`, `{ per: "group", rewards }`, or `{ python: "file.py:function" }`')
  return withNames(task as unknown as Task<Item>)
}

function isBatchReward<Item>(reward: unknown): reward is BatchReward<Item> {
  return typeof (reward as BatchReward<Item> | null)?.rewards === 'function'
}

/** The task whose functions get the agents' names with each joint completion. */
function withNames<Item>(task: Task<Item>): Task<Item> {
  const { agents } = task
  const named = (joint: Joint) => nameJoint(joint, agents)
  const { batch, transition, metrics, examine } = task
  const own: Partial<Task<Item>> = {
    reward: (item, joint, context) => task.reward(item, named(joint), context),
    ...(batch && {
      batch: {
        per: batch.per,
        rewards: (items, joints, context) => batch.rewards(items, joints.map(named), context),
      },
    }),
    ...(transition && {
      transition: (item, joint, history, context) => transition.call(task, item, named(joint), history, context),
    }),
    ...(metrics && { metrics: (item, joint) => metrics.call(task, item, named(joint)) }),
    ...(examine && {
      examine: (evaluated, context) => {
        for (const { joint } of evaluated) named(joint)
        return examine.call(task, evaluated, context)
      },
    }),
  }
  // A task may be an object of a class: what its prototype has stays there.
  const copy = Object.create(Object.getPrototypeOf(task), Object.getOwnPropertyDescriptors(task))
  return Object.defineProperties(copy, Object.getOwnPropertyDescriptors(own)) as Task<Item>
}

function withProcess<Item, Name extends string>(
  task: TaskDefinition<Item, Name>,
  { reward, batch, dispose }: PythonReward<Item>,
): Task<Item> {
  const disposeBoth = async () => {
    await Promise.all([dispose(), task.dispose?.()])
  }
  // The process has a time limit of its own for each call.
  return withNames({
    ...(task as unknown as Task<Item>),
    reward,
    ...(batch && { batch }),
    defaults: { rewardTimeoutMs: null, ...task.defaults },
    dispose: disposeBoth,
  })
}
