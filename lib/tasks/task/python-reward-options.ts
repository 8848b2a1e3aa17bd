/** The settings of a reward in Python; see `pythonReward`. */
import { integer, milliseconds, text } from '../../base/fields.ts'
import type { OptionsOf } from '../../base/validate.ts'
import { choice } from '../../base/validate.ts'

/**
 * How the function is called. `item`: `f(item, completions)`, one text per agent; `batch`: `f(items, completions)`, one such list for
 * each joint completion; `comlrl`: one list of texts per agent, and `batch_items=items` if it takes that; `trl` (one agent): by
 * keywords `prompts`, `completions`, `completion_ids` and the items' fields, each a list. All but `item` return a list with a reward
 * for each joint completion. `auto`: `trl` for a first parameter named `prompts`, `completions` or `completion_ids`, `comlrl` for
 * another one whose name has `completion` in it, else `item`, or `batch` where a call is of more than one.
 */
const callStyles = ['auto', 'item', 'batch', 'comlrl', 'trl'] as const

/** What one call is of: a joint completion, those of a group, or those of one turn of a step. */
const extents = ['joint', 'group', 'step'] as const

/** Options of a reward in Python. */
export const pythonRewardOptions = {
  /** File and function, `my_reward.py:score`; the file's path is relative to the working directory. */
  python: text(),
  /** How the function is called, see docs/python-rewards.md. Defaults to `auto`. */
  call: choice(callStyles).default('auto'),
  /**
   * What one call is of: one `joint` completion, all of a `group` (of one node: the agents' answers to one prompt each), or all of one
   * turn of a `step`. Defaults to `group` with `call: batch`, else to `joint`.
   */
  per: choice(extents).optional(),
  /** The Python to run; `python3` is that of the PATH, so that of an active virtual environment. Defaults to `python3`. */
  interpreter: text().default('python3'),
  /** Processes, each of which loads the file once; calls beyond them wait, except those of an `async` function. Defaults to `1`. */
  workers: integer({ from: 1 }).default(1),
  /** Time limit of one call, milliseconds; loading the file may take five minutes. Defaults to `60000`. */
  timeoutMs: milliseconds().default(60_000),
  /** How often a call whose function raises is made again before the run ends; counted in `reward/retries`. Defaults to `0`. */
  retries: integer({ from: 0 }).default(0),
  /** Wait before the first of these calls, milliseconds; it doubles from one to the next, up to a minute. Defaults to `1000`. */
  retryDelayMs: milliseconds().default(1000),
}

/** A reward written in Python. */
export interface PythonRewardSettings extends OptionsOf<typeof pythonRewardOptions> {
  /** Takes what the function prints, line by line. */
  log?: (line: string) => void
}
