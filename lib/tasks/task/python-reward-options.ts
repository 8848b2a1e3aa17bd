/** The settings of a reward in Python; see `pythonReward`. */
import { integer, milliseconds, text } from '../../base/fields.ts'
import type { OptionsOf } from '../../base/validate.ts'
import { choice } from '../../base/validate.ts'

/**
 * How the function is called. `item`: `f(item, completions)`, one text per agent; `comlrl`: one list of a single text per agent,
 * and `batch_items=[item]` if it takes that; `trl` (one agent): by keywords `prompts`, `completions` and the item's fields, each a
 * list of one. `comlrl` and `trl` return a list of one reward. `auto`: `trl` for a first parameter named `prompts` or
 * `completions`, `comlrl` for another one whose name has `completion` in it, else `item`.
 */
const callStyles = ['auto', 'item', 'comlrl', 'trl'] as const

/** Options of a reward in Python. */
export const pythonRewardOptions = {
  /** File and function, `my_reward.py:score`; the file's path is relative to the working directory. */
  python: text(),
  /** How the function is called, see docs/python-rewards.md. Defaults to `auto`. */
  call: choice(callStyles).default('auto'),
  /** The Python to run; `python3` is that of the PATH, so that of an active virtual environment. Defaults to `python3`. */
  interpreter: text().default('python3'),
  /** Processes, each of which loads the file once; calls beyond them wait. Defaults to `1`. */
  workers: integer({ from: 1 }).default(1),
  /** Time limit of one call, milliseconds; loading the file may take five minutes. Defaults to `60000`. */
  timeoutMs: milliseconds().default(60_000),
}

/** A reward written in Python. */
export interface PythonRewardSettings extends OptionsOf<typeof pythonRewardOptions> {
  /** Takes what the function prints, line by line. */
  log?: (line: string) => void
}
