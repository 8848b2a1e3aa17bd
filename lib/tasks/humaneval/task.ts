import type { CodeItem } from '../code/item.ts'
import { type CodeDataOptions, loadCodeTask } from '../code/load-task.ts'
import type { PublishedData } from '../datasets/source.ts'
import type { Task } from '../task/types.ts'

/** The published problems. */
export const humanevalData: PublishedData = {
  hub: 'openai/openai_humaneval',
  splits: {
    paper: { train: ['test[33:133]'], heldOut: ['test[:32]'] },
    'paper-multi-turn': { train: ['test[33:163]'], heldOut: ['test[:32]'] },
    'paper-baselines': { heldOut: ['test[133:]'] },
  },
}

/**
 * The HumanEval task of MAGRPO: 164 problems, of which the agents write a helper and the function that calls it.
 *
 * @throws MagrpoError `ERR_DATA` if data cannot be had or lack a field
 * @example
 * ```ts
 * const task = await tasks.humaneval({ train: { file: 'HumanEval.jsonl.gz', split: 'paper' } })
 * ```
 */
export function humaneval(options: CodeDataOptions): Promise<Task<CodeItem>> {
  return loadCodeTask(options, { name: 'humaneval', published: humanevalData })
}
