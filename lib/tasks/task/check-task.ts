/** What is wrong with something that is given as a task. */
import { shortly } from '../../base/arguments.ts'
import { MagrpoError } from '../../base/errors.ts'
import { suggestion } from '../../base/nearest.ts'
import type { Task } from './types.ts'

const names = {
  name: true,
  agents: true,
  items: true,
  heldOut: true,
  observe: true,
  reward: true,
  batch: true,
  transition: true,
  metrics: true,
  examine: true,
  maxReward: true,
  minReward: true,
  defaults: true,
  baselines: true,
  columns: true,
  dispose: true,
} satisfies Record<keyof Task, true>

const defaultNames = {
  maxNewTokens: true,
  temperature: true,
  topP: true,
  stop: true,
  terminationThreshold: true,
  rewardTimeoutMs: true,
} satisfies Record<keyof NonNullable<Task['defaults']>, true>

/** Parts that are functions if they are there; the reward is looked at apart, as it may be in Python. */
const functions = ['transition', 'metrics', 'examine', 'columns', 'dispose'] as const

/**
 * Looks at the parts of a task besides its reward. A plain object may have no other parts, since a mistyped one would do nothing.
 *
 * @throws MagrpoError `ERR_TASK` for the first that is missing, empty, of another kind or unknown
 */
export function checkTaskParts(value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const remedy = 'Give an object with name, agents, items, observe and reward.'
    throw new MagrpoError('ERR_TASK', `Expected a task but received ${shortly(value)}. ${remedy}`)
  }
  const task = value as { [Part in keyof Task]?: unknown }
  const fail = (what: string): never => {
    throw new MagrpoError('ERR_TASK', `Task ${shortly(task.name ?? '(no name)')}: ${what}.`)
  }
  if (typeof task.name !== 'string' || task.name === '') fail('expected a name')
  const { agents, items, heldOut, defaults } = task
  if (!Array.isArray(agents) || agents.length < 1) fail('expected at least one agent name in `agents`')
  const given = agents as unknown[]
  if (given.some((agent) => typeof agent !== 'string' || agent === '')) fail('expected texts in `agents`')
  if (new Set(given).size !== given.length) fail('expected different names in `agents`')
  if (!Array.isArray(items) || items.length < 1) fail('expected at least one item in `items`')
  if (heldOut !== undefined && !Array.isArray(heldOut)) fail('expected a list in `heldOut`')
  if (typeof task.observe !== 'function') fail('expected a function `observe`')
  for (const part of functions)
    if (task[part] !== undefined && typeof task[part] !== 'function') fail(`expected a function \`${part}\``)
  refuseUnknown(task, Object.keys(names), (key) => `unknown part \`${key}\``)
  if (defaults === undefined) return
  if (typeof defaults !== 'object' || defaults === null || Array.isArray(defaults))
    fail('expected an object in `defaults`')
  refuseUnknown(defaults as object, Object.keys(defaultNames), (key) => `unknown key \`defaults.${key}\``)

  function refuseUnknown(value: object, known: readonly string[], what: (key: string) => string): void {
    // What a class of the user's own has besides is its own affair.
    if (Object.getPrototypeOf(value) !== Object.prototype) return
    const unknown = Object.keys(value).find((key) => !known.includes(key))
    if (unknown !== undefined) fail(`${what(unknown)}; ${suggestion(unknown, known)}`)
  }
}

/**
 * Whether something is a task, as far as a glance says it.
 *
 * @param where names the call
 * @throws MagrpoError `ERR_ARGUMENT`
 */
export function expectTask(value: unknown, where: string): asserts value is Task {
  const task = value as Partial<Task> | null | undefined
  const isTask = typeof task === 'object' && task !== null && Array.isArray(task.agents) && Array.isArray(task.items)
  if (isTask && typeof task.observe === 'function' && typeof task.reward === 'function') return
  const remedy = (value as unknown) instanceof Promise ? 'Await it first.' : 'Make one with tasks.… or defineTask.'
  throw new MagrpoError('ERR_ARGUMENT', `Expected a task as task of ${where} but received ${shortly(value)}. ${remedy}`)
}
