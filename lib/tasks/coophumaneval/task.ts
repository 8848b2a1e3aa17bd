import type { CodeItem } from '../code/item.ts'
import { type CodeDataOptions, loadCodeTask } from '../code/load-task.ts'
import type { PublishedData } from '../datasets/source.ts'
import type { Task } from '../task/types.ts'

/** The published problems. */
export const coophumanevalData: PublishedData = {
  hub: 'OpenMLRL/CoopHumanEval',
  splits: { paper: { train: ['train[16:]', 'test[16:]'], heldOut: ['train[:16]', 'test[:16]'] } },
}

/**
 * The CoopHumanEval task: problems of HumanEval that can be taken apart, and further ones. Otherwise as `tasks.humaneval`.
 *
 * @throws MagrpoError `ERR_DATA` if data cannot be had or lack a field
 */
export function coophumaneval(options: CodeDataOptions): Promise<Task<CodeItem>> {
  return loadCodeTask(options, { name: 'coophumaneval', published: coophumanevalData })
}
