/** Rewards that a user has written in Python, and what a task makes of them. */

import { statSync } from 'node:fs'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expectObject } from '../../base/arguments.ts'
import { DisposedError, MagrpoError } from '../../base/errors.ts'
import { section, validate } from '../../base/validate.ts'
import { WorkerPool } from '../../base/worker-pool.ts'
import { type PythonRewardSettings, pythonRewardOptions } from './python-reward-options.ts'
import { PythonRewardWorker, RaisedError, type ScoredJoint, type WorkerSettings } from './python-reward-worker.ts'
import { rewardOf } from './reward-of.ts'
import type { BatchReward, RewardDetails, Task } from './types.ts'

/** The wait before a call is made again does not grow beyond it. */
const longestDelayMs = 60_000

/** A running Python reward. */
export interface PythonReward<Item = unknown> {
  /** As `Task.reward`. */
  reward: Task<Item>['reward']
  /** As `Task.batch`, where a call is of a group or a step. */
  batch?: BatchReward<Item>
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
 * beside them; it returns a number, None to abstain, or a dict with `total`, `parts` and `reason`. It may be asynchronous: its calls are
 * then awaited together. With `per` one call is of a whole group or step, and returns a list.
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
  const { worker, workers: size, per, retries, retryDelayMs } = checkedSettings(settings)
  const pool = new WorkerPool({
    size,
    start: (signal) => PythonRewardWorker.start(worker, signal),
    disposedError: () => new DisposedError(`The Python reward ${settings.python}`),
  })
  const score = async (joints: readonly ScoredJoint[], signal: AbortSignal): Promise<RewardDetails[]> => {
    for (let tries = 0; ; tries++) {
      try {
        const rewards = await pool.call(joints, signal)
        // A call is counted once, however many joint completions it is of.
        return retries === 0 ? rewards : rewards.map((one, k) => ({ ...one, retries: k === 0 ? tries : 0 }))
      } catch (error) {
        if (!(error instanceof RaisedError) || tries === retries) throw error
        settings.log?.(`Call ${tries + 1} of ${retries + 1}: ${error.message}`)
        await sleep(Math.min(retryDelayMs * 2 ** tries, longestDelayMs), undefined, { signal }).catch(() => {
          throw signal.reason
        })
      }
    }
  }
  const batch: BatchReward<Item> | null =
    per === 'joint'
      ? null
      : {
          per,
          rewards: (items, joints, { signal, prompts }) =>
            score(
              joints.map((joint, k) => ({ item: items[k], joint, prompts: prompts?.[k] })),
              signal,
            ),
        }
  return {
    ...(batch
      ? rewardOf(batch)
      : { reward: async (item, joint, { signal, prompts }) => (await score([{ item, joint, prompts }], signal))[0]! }),
    start: () => pool.warmUp(),
    dispose: () => pool.dispose(),
  }
}

/**
 * A task whose reward is replaced by a Python function; bounds of the old reward go with it, prompts, feedback and metrics stay.
 * The file is loaded at once, so that what is wrong with it shows before anything is trained.
 */
export async function withPythonReward<Item>(task: Task<Item>, settings: PythonRewardSettings): Promise<Task<Item>> {
  const { reward, batch, start, dispose } = pythonReward<Item>(settings)
  const { maxReward: _max, minReward: _min, batch: _batch, defaults, ...rest } = task
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
  // The process has a time limit of its own for each call.
  const own = { defaults: { ...sampling, rewardTimeoutMs: null }, reward, ...(batch && { batch }) }
  return { ...rest, ...own, dispose: disposeBoth }
}

function checkedSettings({ log, ...settings }: PythonRewardSettings) {
  const fail = (what: string): never => {
    const { python } = settings
    throw new MagrpoError('ERR_TASK', `The Python reward ${JSON.stringify(python)}: ${what}.`, { details: { python } })
  }
  const { value, issues } = validate(section(pythonRewardOptions), settings)
  if (issues) return fail(issues.map(({ path, message }) => `${path}: ${message}`).join('; '))
  const { workers, retries, retryDelayMs, per = value.call === 'batch' ? 'group' : 'joint', ...worker } = value
  if (worker.call === 'item' && per !== 'joint')
    return fail(`call: item is of one joint completion; use call: batch for per: ${per}`)
  const [, file, name] = /^(.+\.py):([\p{L}_][\p{L}\p{N}_.]*)$/u.exec(worker.python) ?? []
  if (file === undefined || name === undefined)
    return fail('expected a file and a function in the form my_reward.py:score')
  const path = resolve(file)
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) fail(`there is no file ${file}`)
  const own: WorkerSettings = { ...worker, per, path, name, log }
  return { worker: own, workers, per, retries, retryDelayMs }
}
