import { MagrpoError } from '../base/errors.ts'
import { importExport } from '../base/import-module.ts'
import type { TaskConfig } from '../config/load.ts'
import { taskRegistry } from '../tasks/names.ts'
import { defineTask } from '../tasks/task/define-task.ts'
import type { CreateContext } from '../tasks/task/entry.ts'
import type { Task } from '../tasks/task/types.ts'

/**
 * Makes the task of a configuration.
 *
 * A module exports its task, or a function of the options that gives one (a promise of one too), as `default` or as `task`.
 *
 * @throws MagrpoError `ERR_TASK` if a module cannot be loaded or exports no task; what the task itself throws
 */
export async function loadTask(config: TaskConfig, context: CreateContext = {}): Promise<Task> {
  if (!('module' in config)) return taskRegistry[config.name].create(config.options, context)
  const { module } = config
  const failure = (message: string, cause?: unknown) =>
    new MagrpoError('ERR_TASK', `The task module ${module}: ${message}.`, { details: { module }, cause })
  return defineTask((await importExport(config, 'task', failure)) as Task)
}
