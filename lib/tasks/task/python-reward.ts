/** Rewards that a user has written in Python, and what a task makes of them. */

import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { expectObject } from '../../base/arguments.ts'
import { DisposedError, MagrpoError } from '../../base/errors.ts'
import { section, validate } from '../../base/validate.ts'
import { WorkerPool } from '../../base/worker-pool.ts'
import { type PythonRewardSettings, pythonRewardOptions } from './python-reward-options.ts'
import { PythonRewardWorker, type WorkerSettings } from './python-reward-worker.ts'
import type { Task } from './types.ts'

/** A running Python reward. */
export interface PythonReward<Item = unknown> {
  /** As `Task.reward`. */
  reward: Task<Item>['reward']
  /** Loads the file now; otherwise the first reward does. */
  start(): Promise<void>
  /** Ends the processes. */
  dispose(): Promise<void>
}

/** Whether a task's reward is written in Python. */
export function isPythonReward(reward: unknown): reward is PythonRewardSettings {
  return typeof reward === 'object' && reward !== null && 'python' in reward
}

/**
 * Makes a reward of a Python function. Each process loads the file once, outside of any sandbox: it is the user's own.
 *
 * The function gets the item as a dict and the completions, which are texts with `ids`, `finish` and `log_prob_sum`
 * beside them; it returns a number, or a dict with `total` and `parts`. It may be asynchronous.
 *
 * The reward rejects with MagrpoError `ERR_REWARD` if the function raises (with its traceback and what it printed), returns
 * something else, takes too long or ends its process; `details` has `python`, `traceback` and `output`.
 *
 * @throws MagrpoError `ERR_TASK` if the settings are wrong or the file is not there
 * @example
 * ```ts
 * const { reward, dispose } = pythonReward({ python: 'my_reward.py:score' })
 * ```
 */
export function pythonReward<Item = unknown>(settings: PythonRewardSettings): PythonReward<Item> {
  expectObject(settings, 'settings of pythonReward')
  const [worker, size] = checkedSettings(settings)
  const pool = new WorkerPool({
    size,
    start: (signal) => PythonRewardWorker.start(worker, signal),
    disposedError: () => new DisposedError(`The Python reward ${settings.python}`),
  })
  return {
    reward: (item, joint, { signal }) => pool.call({ item, joint }, signal),
    start: () => pool.warmUp(),
    dispose: () => pool.dispose(),
  }
}

/**
 * A task whose reward is replaced by a Python function; bounds of the old reward go with it, prompts, feedback and metrics stay.
 * The file is loaded at once, so that what is wrong with it shows before anything is trained.
 */
export async function withPythonReward<Item>(task: Task<Item>, settings: PythonRewardSettings): Promise<Task<Item>> {
  const { reward, start, dispose } = pythonReward<Item>(settings)
  const { maxReward: _max, minReward: _min, defaults, ...rest } = task
  const { terminationThreshold: _threshold, ...sampling } = defaults ?? {}
  const disposeBoth = async () => {
    await Promise.all([dispose(), task.dispose?.()])
  }
  try {
    await start()
  } catch (error) {
    await disposeBoth()
    throw error
  }
  return { ...rest, defaults: sampling, reward, dispose: disposeBoth }
}

function checkedSettings({ log, ...settings }: PythonRewardSettings): [WorkerSettings, workers: number] {
  const fail = (what: string): never => {
    const { python } = settings
    throw new MagrpoError('ERR_TASK', `The Python reward ${JSON.stringify(python)}: ${what}.`, { details: { python } })
  }
  const { value, issues } = validate(section(pythonRewardOptions), settings)
  if (issues) return fail(issues.map(({ path, message }) => `${path}: ${message}`).join('; '))
  const { workers, ...worker } = value
  const [, file, name] = /^(.+\.py):([\p{L}_][\p{L}\p{N}_.]*)$/u.exec(worker.python) ?? []
  if (file === undefined || name === undefined)
    return fail('expected a file and a function in the form my_reward.py:score')
  const path = resolve(file)
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) fail(`there is no file ${file}`)
  return [{ ...worker, path, name, log }, workers]
}
