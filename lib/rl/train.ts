/** Training of a team: the door to `run.ts`. */

import { type Run, startRun } from './run.ts'
import { playersOf } from './team/policy-engine.ts'
import type { TrainOptions } from './train-options.ts'
import type { RunStore } from './types/run-store.ts'

/**
 * Trains a team on a task.
 *
 * Nothing happens until the run is iterated or its `result` is read:
 *
 * ```ts
 * for await (const step of train(options)) console.log(step.index, step.metrics['reward/mean'])
 * ```
 *
 * @param store keeps the run, and knows where it goes on
 * @throws ConfigError or MagrpoError `ERR_TASK` at once, for options that are out of range or do not fit each other
 */
export function train<Item>(options: TrainOptions<Item>, store?: RunStore): Run {
  const { team, ...rest } = options
  return startRun(playersOf(team, options), rest, store)
}
