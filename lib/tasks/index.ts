/** The tasks that come with magrpo, as functions that make them. */
import { coophumaneval, humaneval, mbpp } from './code/data-task.ts'
import { codeTask } from './code/task.ts'
import { miniCode } from './mini-code/task.ts'
import { arxiv } from './writing/arxiv.ts'
import { story } from './writing/story.ts'
import { tldr } from './writing/tldr.ts'

/**
 * Makers of the built-in tasks; those that read files give a promise.
 *
 * @example
 * ```ts
 * const task = tasks.story({ train: 100 })
 * ```
 */
export const tasks = {
  /** Two summaries of a Reddit post, a brief and a detailed one. */
  tldr,
  /** The two halves of a paper's introduction from its abstract. */
  arxiv,
  /** Two continuations of a story, a short and a long one, for small story models. */
  story,
  /** A helper and the function that calls it, for problems of the HumanEval form. */
  humaneval,
  /** The same for CoopHumanEval, whose problems gain from a helper. */
  coophumaneval,
  /** The same for MBPP, converted to the form of HumanEval. */
  mbpp,
  /** A tiny helper and the function that calls it, written by two tiny models. */
  miniCode,
  /** The code task for problems of your own. */
  code: codeTask,
} as const
