/** The functions that make the built-in tasks. */
import { arxiv } from './arxiv/task.ts'
import { codeTask } from './code/task.ts'
import { coophumaneval } from './coophumaneval/task.ts'
import { humaneval } from './humaneval/task.ts'
import { mbpp } from './mbpp/task.ts'
import { miniCode } from './mini-code/task.ts'
import { story } from './story/task.ts'
import { tldr } from './tldr/task.ts'

/**
 * Makers of the built-in tasks; those that read files give a promise.
 *
 * @example
 * ```ts
 * const task = tasks.story({ train: 100 })
 * ```
 */
export const tasks = {
  /** The two halves of a paper's introduction from its abstract. */
  arxiv,
  /** The code task for problems of your own. */
  code: codeTask,
  /** A helper and the function that calls it, for the problems of CoopHumanEval, which gain from a helper. */
  coophumaneval,
  /** A helper and the function that calls it, for problems of the HumanEval form. */
  humaneval,
  /** A helper and the function that calls it, for problems of MBPP in the form of HumanEval. */
  mbpp,
  /** A tiny helper and the function that calls it, written by two tiny models. */
  miniCode,
  /** Two continuations of a story, a short and a long one, for small story models. */
  story,
  /** Two summaries of a Reddit post, a brief and a detailed one. */
  tldr,
} as const
