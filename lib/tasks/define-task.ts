import { MagrpoError } from '../errors.ts'
import type { Task } from './types.ts'

/**
 * Checks a task object and returns it, with its item type inferred.
 *
 * @throws MagrpoError `ERR_TASK` if a required part is missing or empty
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
export function defineTask<Item>(task: Task<Item>): Task<Item> {
  const fail = (what: string): never => {
    throw new MagrpoError('ERR_TASK', `Task ${JSON.stringify(task.name ?? '(no name)')}: ${what}.`)
  }
  if (typeof task.name !== 'string' || task.name === '') fail('expected a name')
  if (!Array.isArray(task.agents) || task.agents.length < 1) fail('expected at least one agent name in `agents`')
  if (new Set(task.agents).size !== task.agents.length) fail('expected different names in `agents`')
  if (!Array.isArray(task.items) || task.items.length < 1) fail('expected at least one item in `items`')
  for (const name of ['observe', 'reward'] as const)
    if (typeof task[name] !== 'function') fail(`expected a function \`${name}\``)
  return task
}
