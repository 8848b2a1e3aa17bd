/** Options of `mini-code`. */
import { integer } from '../../base/fields.ts'
import type { OptionsOf } from '../../base/validate.ts'
import { choice } from '../../base/validate.ts'

/**
 * How much the next prompts say. `plain`: nothing; `passed`: whether the program passed; `level_passed`: a line of levels;
 * `level_feedback`: the levels of both functions, and the error of the first assert that failed.
 */
export const miniCodeFeedbacks = ['plain', 'passed', 'level_passed', 'level_feedback'] as const

/** One of `miniCodeFeedbacks`. */
export type MiniCodeFeedback = (typeof miniCodeFeedbacks)[number]

/** Settings besides the sandbox. */
export const miniCodeSettings = {
  /** Number of training problems, the first so many of a fixed shuffled order. Defaults to all. */
  train: integer({ from: 1 }).optional(),
  /** Number of problems in the task's `heldOut`. Defaults to all of the part named by `evaluateOn`. */
  heldOut: integer({ from: 0 }).optional(),
  /**
   * Which problems are the task's `heldOut`: `validation`, for watching a run and choosing its settings, or `held-out`, for a
   * final score. No (predicate, transformation) pair is in two of training, validation and held-out. Defaults to `validation`.
   */
  evaluateOn: choice(['validation', 'held-out']).default('validation'),
  /** What the agents read after a turn, if there are several; see docs/tasks/mini-code.md. Defaults to `level_feedback`. */
  feedback: choice(miniCodeFeedbacks).default('level_feedback'),
}

/** {@link miniCodeSettings} as a program gives them. */
export type MiniCodeSettings = OptionsOf<typeof miniCodeSettings>
