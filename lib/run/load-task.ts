import { access } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { TaskConfig } from '../config/load.ts'
import { MagrpoError } from '../errors.ts'
import { defineTask } from '../tasks/define-task.ts'
import { type CreateContext, type TaskEntry, taskRegistry } from '../tasks/registry.ts'
import type { Task } from '../tasks/types.ts'

/**
 * Makes the task of a configuration.
 *
 * A module exports its task, or a function of the options that gives one (a promise of one too), as `default` or as `task`.
 *
 * @throws MagrpoError `ERR_TASK` if a module cannot be loaded or exports no task; what the task itself throws
 */
export async function loadTask(config: TaskConfig, context: CreateContext = {}): Promise<Task> {
  if (!('module' in config)) {
    const entry = taskRegistry[config.name] as TaskEntry<Record<string, unknown>>
    return entry.create(config.options, context)
  }
  const exported = await importModule(config.module)
  const found = exported.default ?? exported.task
  const task: unknown = typeof found === 'function' ? await found(config.options ?? {}) : found
  if (typeof task !== 'object' || task === null)
    throw taskError(config.module, 'expected a task, or a function that makes one, as its default export or as "task"')
  return defineTask(task as Task)
}

async function importModule(module: string): Promise<Record<string, unknown>> {
  const path = resolve(module)
  await access(path).catch((cause: unknown) => {
    throw taskError(module, 'the file cannot be read', cause)
  })
  const url = pathToFileURL(path).href
  try {
    return (await import(url)) as Record<string, unknown>
  } catch (cause) {
    const isTypeScript = ['.ts', '.mts', '.cts'].includes(extname(path))
    const code = (cause as NodeJS.ErrnoException).code
    if (isTypeScript && code === 'ERR_UNKNOWN_FILE_EXTENSION') return importThroughTsx(module, url)
    throw taskError(module, `it cannot be loaded: ${(cause as Error).message}`, cause)
  }
}

/** Node before 22.18 reads no TypeScript; tsx does, where it is installed. */
async function importThroughTsx(module: string, url: string): Promise<Record<string, unknown>> {
  const tsx = (await import('tsx/esm/api' as string).catch((cause: unknown) => {
    const remedy = 'this version of Node reads no TypeScript; install tsx (npm install tsx), or give JavaScript'
    throw taskError(module, remedy, cause)
  })) as { tsImport(url: string, parent: string): Promise<Record<string, unknown>> }
  try {
    return await tsx.tsImport(url, import.meta.url)
  } catch (cause) {
    throw taskError(module, `it cannot be loaded: ${(cause as Error).message}`, cause)
  }
}

function taskError(module: string, message: string, cause?: unknown): MagrpoError {
  return new MagrpoError('ERR_TASK', `The task module ${module}: ${message}.`, { details: { module }, cause })
}
