/** Calls a task's reward for many joint completions, concurrently, and turns whatever goes wrong into a coded error. */

import { setImmediate } from 'node:timers/promises'
import { type ErrorDetails, MagrpoError } from '../../base/errors.ts'
import { onAbort } from '../../base/on-abort.ts'
import { describeThrown } from '../../base/thrown.ts'
import type { Joint } from '../../tasks/task/completion.ts'
import type { RewardContext, RewardDetails, RewardResult, Task } from '../../tasks/task/types.ts'
import type { RewardCache, RewardOutcome } from '../types/run-store.ts'

/** One joint completion to be rewarded. */
export interface RewardJob {
  item: unknown
  /** Index of the item in its list, for messages. */
  index: number
  joint: Joint
  /** (n) what the agents were asked, where the reward may want to know. */
  prompts?: RewardContext['prompts']
  /** Which joint completion of the run it is; needed for `RewardLimits.memory`. */
  place?: string
  /** What `task.metrics` says of it, once it is rewarded; kept with the verdict, since a reward may note things for it. */
  metrics?(): Record<string, number>
}

/** Limits of {@link runRewards}. */
export interface RewardLimits {
  /** Calls under way at once. */
  concurrency: number
  /**
   * Time limit of one call, milliseconds, from when it is made: what the reward waits for counts. `null`: the reward ends by
   * itself. A function that never gives way to the event loop cannot be stopped.
   */
  timeoutMs: number | null
  signal?: AbortSignal
  /** Verdicts it knows are not asked for again; it is told the others as they come. */
  memory?: RewardCache
}

/** The time limit of reward calls: what is given, else what the task asks for, else two minutes. */
export function rewardTimeoutOf(given: number | undefined, defaults: Task['defaults']): number | null {
  if (given !== undefined) return given
  return defaults?.rewardTimeoutMs === undefined ? 120_000 : defaults.rewardTimeoutMs
}

/** What is called, and its name for messages. */
type RewardedTask = Pick<Task, 'name' | 'reward' | 'batch'>

/** Names under `reward/` that parts cannot have. */
const reservedParts = [
  ...['mean', 'std', 'group_std', 'stderr', 'zero_variance_share'],
  ...['abstained_share', 'skipped_group_share', 'retries'],
]

/** Rewards that do not wait may keep the event loop for so long. */
const busyLimitMs = 8

/**
 * Rewards of all jobs, in their order. See {@link RewardQueue}.
 *
 * @throws MagrpoError `ERR_REWARD`; the signal's reason
 */
export function runRewards(
  task: RewardedTask,
  jobs: readonly RewardJob[],
  limits: RewardLimits,
): Promise<RewardOutcome[]> {
  const queue = new RewardQueue(task, limits)
  for (const job of jobs) queue.add([job])
  return queue.outcomes()
}

/**
 * Rewards joint completions that come one after the other, each as soon as a place is free.
 *
 * The first failure aborts the signals of all calls under way, and no more are made; so does the given signal, with its reason.
 */
export class RewardQueue {
  readonly #task: RewardedTask
  readonly #limits: RewardLimits
  /** The jobs of each call. */
  readonly #jobs: (readonly RewardJob[])[] = []
  /** By call. */
  readonly #outcomes: RewardOutcome[][] = []
  readonly #workers: Promise<void>[] = []
  readonly #onFailure: (error: unknown) => void
  /** Aborted with the first failure. */
  readonly #calls = new AbortController()
  readonly #forgetSignal: () => void
  #next = 0
  #working = 0
  #lastPause = performance.now()

  /** @param onFailure called with the first failure, when it comes; {@link outcomes} rejects with it too */
  constructor(task: RewardedTask, limits: RewardLimits, onFailure: (error: unknown) => void = () => {}) {
    this.#task = task
    this.#limits = limits
    this.#onFailure = onFailure
    const { signal } = limits
    this.#forgetSignal = onAbort(signal, () => this.end(signal?.reason))
    if (signal?.aborted) this.end(signal.reason)
  }

  /** @param jobs of one call: one, or with `Task.batch` any number */
  add(jobs: readonly RewardJob[]): void {
    this.#jobs.push(jobs)
    if (this.#calls.signal.aborted || this.#working >= this.#limits.concurrency) return
    this.#workers.push(this.#work().catch((error: unknown) => this.end(error)))
  }

  /**
   * What all jobs earned, in the order they were added, when the last is done. Call it once, after the last `add`.
   *
   * @throws MagrpoError `ERR_REWARD` for a reward that throws, does not settle in time, or is not null, a finite number or
   *   `{ total, parts }` of them; `details` has `task`, `item` (index) and `part`; else what it was ended with
   */
  async outcomes(): Promise<RewardOutcome[]> {
    await Promise.all(this.#workers)
    this.#forgetSignal()
    this.#calls.signal.throwIfAborted()
    return this.#outcomes.flat()
  }

  /** Ends the calls under way and makes no more; only the first reason counts. */
  end(error: unknown): void {
    if (this.#calls.signal.aborted) return
    this.#forgetSignal()
    this.#calls.abort(error)
    this.#onFailure(error)
  }

  async #work(): Promise<void> {
    this.#working++
    while (this.#next < this.#jobs.length && !this.#calls.signal.aborted) {
      const current = this.#next++
      this.#outcomes[current] = await verdictsOn(this.#task, this.#jobs[current]!, this.#limits, this.#calls.signal)
      if (performance.now() - this.#lastPause > busyLimitMs) {
        await setImmediate()
        this.#lastPause = performance.now()
      }
    }
    this.#working--
  }
}

/** The verdicts of one call: remembered, or asked for and remembered. What it says of one job may depend on the others of the call. */
async function verdictsOn(
  task: RewardedTask,
  jobs: readonly RewardJob[],
  { timeoutMs, memory }: RewardLimits,
  signal: AbortSignal,
): Promise<RewardOutcome[]> {
  const withMetrics = (outcome: RewardOutcome, { metrics }: RewardJob): RewardOutcome =>
    metrics === undefined || outcome.metrics !== undefined ? outcome : { ...outcome, metrics: metrics() }
  const known = jobs.flatMap(({ place, joint }) => (place === undefined ? [] : (memory?.recall(place, joint) ?? [])))
  if (known.length === jobs.length) return known.map((outcome, k) => withMetrics(outcome, jobs[k]!))
  const results = await callReward(task, jobs, timeoutMs, signal)
  const outcomes = jobs.map((job, k) => withMetrics(checkOutcome(results[k]!, task.name, job.index), job))
  for (const [k, { place, joint }] of jobs.entries())
    if (place !== undefined) await memory?.keep(place, joint, outcomes[k]!)
  return outcomes
}

/** One call, which ends at the latest with its time limit or when `signal` aborts, whatever the reward does. */
function callReward(
  task: RewardedTask,
  jobs: readonly RewardJob[],
  timeoutMs: number | null,
  signal: AbortSignal,
): Promise<readonly RewardResult[]> {
  const own = new AbortController()
  const { index } = jobs[0]!
  return new Promise<readonly RewardResult[]>((resolve, reject) => {
    const leave = () => {
      clearTimeout(timer)
      forget()
    }
    const fail = (error: unknown) => {
      leave()
      reject(error)
      own.abort(error)
    }
    const forget = onAbort(signal, () => fail(signal.reason))
    const timer =
      timeoutMs === null ? undefined : setTimeout(() => fail(timeoutError(task.name, index, timeoutMs)), timeoutMs)
    askTask(task, jobs, own.signal).then(
      (result) => {
        leave()
        resolve(result)
      },
      (error: unknown) => fail(thrownError(task.name, index, error)),
    )
  })
}

async function askTask(
  task: RewardedTask,
  jobs: readonly RewardJob[],
  signal: AbortSignal,
): Promise<readonly RewardResult[]> {
  const [{ item, joint, prompts }, ...others] = jobs as [RewardJob, ...RewardJob[]]
  if (task.batch === undefined && others.length === 0)
    return [await task.reward(item, joint, { signal, ...(prompts && { prompts }) })]
  const asked = jobs.flatMap((job) => (job.prompts === undefined ? [] : [job.prompts]))
  const rewards = await task.batch!.rewards(
    jobs.map((job) => job.item),
    jobs.map((job) => job.joint),
    { signal, ...(asked.length === jobs.length && { prompts: asked }) },
  )
  if (Array.isArray(rewards) && rewards.length === jobs.length) return rewards
  const received = Array.isArray(rewards) ? `${(rewards as unknown[]).length}` : describe(rewards)
  throw new Error(
    `expected a list of ${jobs.length} rewards, one for each joint completion of the call; received ${received}`,
  )
}

function timeoutError(task: string, item: number, timeoutMs: number): MagrpoError {
  return rewardError(
    `Expected the reward of task '${task}' to settle within ${timeoutMs} ms, but for item ${item} it did not. ` +
      'Raise rewardTimeoutMs or make the reward stop at its signal.',
    { task, item, timeoutMs },
  )
}

function thrownError(task: string, item: number, cause: unknown): MagrpoError {
  return rewardError(
    `The reward of task '${task}' threw for item ${item}: ${describeThrown(cause)}`,
    { task, item },
    cause,
  )
}

function checkOutcome(result: RewardResult, task: string, item: number): RewardOutcome {
  const isObject = typeof result === 'object' && result !== null
  const said: Omit<RewardDetails, 'parts'> & Partial<RewardDetails> = isObject ? result : { total: result }
  const { total: reward, reason, retries } = said
  const parts = said.parts ?? {}
  const wrong = (expected: string, value: unknown, part?: string) =>
    rewardError(`Expected ${expected} the reward of task '${task}' but received ${describe(value)} for item ${item}.`, {
      task,
      item,
      ...(part !== undefined && { part }),
    })
  if (reward !== null && !Number.isFinite(reward))
    throw wrong(`a finite number${isObject ? ' as total' : ' or { total, parts }'} (null to abstain) from`, reward)
  for (const [part, value] of Object.entries(parts)) {
    if (!Number.isFinite(value)) throw wrong(`a finite number as part '${part}' of`, value, part)
    if (reservedParts.includes(part)) {
      throw rewardError(
        `Expected another name than '${part}' for a part of the reward of task '${task}': reward/${part} is a metric ` +
          'of its own. Rename the part.',
        { task, item, part },
      )
    }
  }
  if (reason !== undefined && typeof reason !== 'string') throw wrong('a string as reason of', reason)
  if (retries !== undefined && !(Number.isInteger(retries) && retries >= 0))
    throw wrong('an integer from 0 up as retries of', retries)
  return { reward, parts, ...(reason !== undefined && { reason }), ...(retries !== undefined && { retries }) }
}

function describe(value: unknown): string {
  return typeof value === 'object' && value !== null ? 'an object' : `${String(value)} (${typeof value})`
}

function rewardError(message: string, details: ErrorDetails, cause?: unknown): MagrpoError {
  return new MagrpoError('ERR_REWARD', message, { details, cause })
}
