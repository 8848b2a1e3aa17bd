/** Rewards that a user has written in Python: the settings, and what a task makes of them. */
import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { DisposedError, MagrpoError } from '../../base/errors.ts'
import { WorkerPool } from '../../base/worker-pool.ts'
import { PythonRewardWorker, type WorkerSettings } from './python-reward-worker.ts'
import type { Task } from './types.ts'

/**
 * How the function is called. `item`: `f(item, completions)`, one text an agent; `comlrl`: one list of a single text an agent, and
 * `batch_items=[item]` if it takes that; `trl` (one agent): by keywords `prompts`, `completions` and the item's fields, each a
 * list of one. `comlrl` and `trl` return a list of one reward. `auto`: `trl` for a first parameter named `prompts` or
 * `completions`, `comlrl` for another one whose name has `completion` in it, else `item`.
 */
export const callStyles = ['auto', 'item', 'comlrl', 'trl'] as const

/** A reward written in Python. */
export interface PythonRewardSettings {
  /** File and function, `my_reward.py:score`; the file's path is relative to the working directory. */
  python: string
  /** How the function is called, see docs/python-rewards.md. Defaults to `auto`. */
  call?: (typeof callStyles)[number]
  /** The Python to run. Defaults to `python3` of the PATH, so that of an active virtual environment. */
  interpreter?: string
  /** Processes, each with the file loaded once; calls beyond them wait. Defaults to `1`. */
  workers?: number
  /** Time limit of one call, milliseconds; loading the file may take five minutes. Defaults to `60000`. */
  timeoutMs?: number
  /** Takes what the function prints, line by line. */
  log?: (line: string) => void
}

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
 * Makes a reward of a Python function. The file is loaded once a process, outside of any sandbox: it is the user's own.
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
  const checked = checkedSettings(settings)
  const pool = new WorkerPool({
    size: settings.workers ?? 1,
    start: (signal) => PythonRewardWorker.start(checked, signal),
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

function checkedSettings(settings: PythonRewardSettings): WorkerSettings {
  const { python, call = 'auto', interpreter = 'python3', workers = 1, timeoutMs = 60_000, log } = settings
  const fail = (what: string): never => {
    throw new MagrpoError('ERR_TASK', `The Python reward ${JSON.stringify(python)}: ${what}.`, { details: { python } })
  }
  const [, file, name] = /^(.+\.py):([\p{L}_][\p{L}\p{N}_.]*)$/u.exec(String(python)) ?? []
  if (file === undefined || name === undefined)
    return fail('expected a file and a function in the form my_reward.py:score')
  if (!callStyles.includes(call)) fail(`expected one of ${callStyles.join(', ')} as call but received ${String(call)}`)
  if (!(Number.isInteger(workers) && workers >= 1)) fail(`expected workers >= 1 but received ${workers}`)
  if (!(timeoutMs > 0 && timeoutMs < 2 ** 31))
    fail(`expected milliseconds above 0 as timeoutMs but received ${timeoutMs}`)
  const path = resolve(file)
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) fail(`there is no file ${file}`)
  return { python, path, name, call, interpreter, timeoutMs, log }
}
