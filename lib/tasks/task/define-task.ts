import { MagrpoError } from '../../base/errors.ts'
import { isPythonReward, type PythonReward, pythonReward } from './python-reward.ts'
import type { PythonRewardSettings } from './python-reward-options.ts'
import { rewardOf } from './reward-of.ts'
import type { BatchReward, Task, TaskParts } from './types.ts'

/** A task as a user writes it: its reward may be of many joint completions at once, or a Python function. */
export interface TaskDefinition<Item = unknown> extends TaskParts<Item> {
  /** As `Task.reward`, a reward of a group or a step at a time, or the file and function of a reward in Python. */
  reward: Task<Item>['reward'] | BatchReward<Item> | PythonRewardSettings
}

/**
 * Checks a task object and returns it, with its item type inferred. A reward written in Python becomes a function; its process
 * starts at the first reward and ends with the task's `dispose()`, see {@link pythonReward}.
 *
 * @throws MagrpoError `ERR_TASK` if a required part is missing or empty, or the file of a reward in Python is
 * @example
 * ```ts
 * const task = defineTask({
 *   name: 'haiku',
 *   agents: ['first', 'second'],
 *   items: [{ topic: 'rain' }],
 *   observe: (item, agent) => `Line ${agent + 1} of a poem about ${item.topic}:`,
 *   reward: (_item, joint) => (joint[0]!.text.length < joint[1]!.text.length ? 1 : 0),
 * })
 * ```
 */
export function defineTask<Item>(task: TaskDefinition<Item>): Task<Item> {
  const fail = (what: string): never => {
    throw new MagrpoError('ERR_TASK', `Task ${JSON.stringify(task.name ?? '(no name)')}: ${what}.`)
  }
  if (typeof task.name !== 'string' || task.name === '') fail('expected a name')
  if (!Array.isArray(task.agents) || task.agents.length < 1) fail('expected at least one agent name in `agents`')
  if (new Set(task.agents).size !== task.agents.length) fail('expected different names in `agents`')
  if (!Array.isArray(task.items) || task.items.length < 1) fail('expected at least one item in `items`')
  if (typeof task.observe !== 'function') fail('expected a function `observe`')
  const { reward } = task
  if (isPythonReward(reward)) return withProcess(task, pythonReward<Item>(reward))
  if (isBatchReward<Item>(reward)) {
    if (!['group', 'step'].includes(reward.per)) fail("expected 'group' or 'step' as `per` of the reward")
    return { ...task, ...rewardOf(reward) }
  }
  if (typeof reward !== 'function')
    fail('expected a function `reward`, `{ per: "group", rewards }`, or `{ python: "file.py:function" }`')
  return task as Task<Item>
}

function isBatchReward<Item>(reward: unknown): reward is BatchReward<Item> {
  return typeof (reward as BatchReward<Item> | null)?.rewards === 'function'
}

function withProcess<Item>(task: TaskDefinition<Item>, { reward, batch, dispose }: PythonReward<Item>): Task<Item> {
  const disposeBoth = async () => {
    await Promise.all([dispose(), task.dispose?.()])
  }
  // The process has a time limit of its own for each call.
  return {
    ...task,
    reward,
    ...(batch && { batch }),
    defaults: { rewardTimeoutMs: null, ...task.defaults },
    dispose: disposeBoth,
  }
}
