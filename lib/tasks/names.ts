/** Names of the built-in tasks. */
import * as registry from './registry.ts'
import type { TaskEntry } from './task/entry.ts'

/** Name of a built-in task. */
export type TaskName = keyof typeof registry

/** Every built-in task by its name. */
export const taskRegistry: Readonly<Record<TaskName, TaskEntry>> = registry

/** Names of the built-in tasks. */
export const taskNames = Object.keys(registry) as [TaskName, ...TaskName[]]

/** Whether a word names a built-in task. */
export function isTaskName(name: unknown): name is TaskName {
  return typeof name === 'string' && Object.hasOwn(registry, name)
}
