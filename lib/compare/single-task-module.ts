/** The task module that trains a single model on a team's task: what a configuration's `task.module` names. */
import { fileURLToPath } from 'node:url'
import type { TaskConfig } from '../config/load.ts'
import { loadTask } from '../session/load-task.ts'
import type { SingleTaskOptions } from '../tasks/baselines/options.ts'
import { singleTask } from '../tasks/baselines/single-task.ts'
import type { Task } from '../tasks/task/types.ts'

/** Options of the module. */
interface SingleModuleOptions extends SingleTaskOptions {
  /** The team's task. */
  task: TaskConfig
}

/** The configuration of the single model's task. */
export function singleTaskConfig(options: SingleModuleOptions): TaskConfig {
  return { module: fileURLToPath(import.meta.url), options }
}

/** What the module exports for `task.module`: makes the team's task and turns it into one model's. */
export async function task(options: SingleModuleOptions): Promise<Task> {
  const { task: config, ...settings } = options
  return singleTask(await loadTask(config), settings)
}
