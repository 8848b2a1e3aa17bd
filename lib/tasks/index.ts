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
export const tasks = { tldr, arxiv, story, humaneval, coophumaneval, mbpp, miniCode, code: codeTask } as const
