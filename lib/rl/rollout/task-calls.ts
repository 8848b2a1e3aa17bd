/** Calls of a task's functions, with errors that name the task and the item. */
import { MagrpoError } from '../../base/errors.ts'
import { inspect } from '../../base/inspect.ts'
import { describeThrown } from '../../base/thrown.ts'
import type { Task } from '../../tasks/task/types.ts'

type ObservedPrompt = ReturnType<Task['observe']>

/**
 * What an agent is asked first.
 *
 * @throws MagrpoError `ERR_TASK` for an `observe` that throws or returns no prompt
 */
export function firstPrompt(task: Task, items: readonly unknown[], item: number, agent: number): ObservedPrompt {
  const prompt = callTask(task.name, 'observe', item, () => task.observe(items[item]!, agent, []))
  if (isPrompt(prompt)) return prompt
  const received = (prompt as unknown) instanceof Promise ? 'a promise' : inspect(prompt).slice(0, 60)
  throw new MagrpoError(
    'ERR_TASK',
    `Expected a string or a list of chat messages, the prompt of one agent, from observe of task '${task.name}' but received ` +
      `${received} for item ${item} and agent ${agent} (${task.agents[agent] ?? 'no name'}).`,
    { details: { task: task.name, item, agent } },
  )
}

/** Whether it has the form of a prompt. Token ids are for models without a tokenizer, as in the benchmark. */
export const isPrompt = (prompt: unknown): boolean =>
  typeof prompt === 'string' || Array.isArray(prompt) || prompt instanceof Int32Array

/** An error of one prompt, told of by its place. */
export function withPlace(
  error: MagrpoError,
  place: { task: string; agent: string; item: number; turn: number; isHeldOut?: boolean },
): MagrpoError {
  const { task, agent, item, turn, isHeldOut = false } = place
  const which = `${isHeldOut ? 'held-out ' : ''}item ${item}`
  return new MagrpoError(
    error.code,
    `${error.message} It is the prompt of agent '${agent}' for ${which} of task '${task}', turn ${turn + 1}.`,
    { details: { ...error.details, item, agent }, cause: error },
  )
}

/** @throws MagrpoError `ERR_TASK` for what `call` throws */
export function callTask<T>(task: string, what: string, item: number, call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw taskError(task, what, item, error)
  }
}

/** What a function of a task threw. */
export function taskError(task: string, what: string, item: number, cause: unknown): MagrpoError {
  return new MagrpoError('ERR_TASK', `${what} of task '${task}' threw for item ${item}: ${describeThrown(cause)}`, {
    details: { task, item },
    cause,
  })
}
