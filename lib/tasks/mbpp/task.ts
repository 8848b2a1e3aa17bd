import { expectObject } from '../../base/arguments.ts'
import { readOptions } from '../../base/validate.ts'
import type { CodeItem } from '../code/item.ts'
import { loadCodeTask } from '../code/load-task.ts'
import type { PublishedData } from '../datasets/source.ts'
import type { Task } from '../task/types.ts'
import { type MbppOptions, mbppSettings } from './options.ts'
import { withSignature } from './signature.ts'

/** The published problems. */
export const mbppData: PublishedData = {
  hub: 'OpenMLRL/MBPP',
  splits: { paper: { train: ['test[15:65]', 'train[15:65]'], heldOut: ['test[:15]', 'train[:15]'] } },
}

/**
 * The MBPP task: problems of MBPP in the form of HumanEval. Otherwise as `tasks.humaneval`.
 *
 * @throws MagrpoError `ERR_DATA` if data cannot be had or lack a field
 */
export async function mbpp(all: MbppOptions): Promise<Task<CodeItem>> {
  expectObject(all, 'options of tasks.mbpp')
  const { signatures: given, ...options } = all
  const { signatures = options.rules === 'paper' ? 'published' : 'repaired' } = readOptions(
    'Task "mbpp"',
    mbppSettings,
    { signatures: given },
  )
  const kind = signatures === 'published' ? { needsParameters: true } : { prepare: withSignature }
  return loadCodeTask(options, { name: 'mbpp', published: mbppData, ...kind })
}
