/** The code tasks by name: published problems from a file or from the hub. */
import { type DataSource, loadSource } from '../datasets/load.ts'
import type { Task } from '../task/types.ts'
import type { CodeItem } from './item.ts'
import { withSignature } from './mbpp.ts'
import { type CodeTaskOptions, codeTask } from './task.ts'

/** Options of {@link humaneval} and {@link coophumaneval}. */
export interface CodeDataOptions extends Omit<CodeTaskOptions, 'items' | 'heldOut' | 'name' | 'needsParameters'> {
  /** The problems to train on: a file, a data set of the hub or a named split (`paper`), see {@link DataSource}; or themselves. */
  train: DataSource | readonly CodeItem[]
  /** Held-out problems for evaluation. Defaults to none. */
  heldOut?: DataSource | readonly CodeItem[]
  /** Told of downloads. */
  log?: (message: string) => void
}

/** Options of {@link mbpp}. */
export interface MbppOptions extends CodeDataOptions {
  /**
   * Many problems of the published conversion show no parameters. `repaired`: the prompt gets the signature that the tests call;
   * `published`: both agents get the error sentence of the published formatter. Defaults to `published` for the rules `paper`,
   * else to `repaired`.
   */
  signatures?: 'repaired' | 'published'
}

/**
 * The HumanEval task of MAGRPO: 164 problems, of which the agents write a helper and the function that calls it.
 *
 * @throws MagrpoError `ERR_DATA` if data cannot be had or lack a field
 * @example
 * ```ts
 * const task = await humaneval({ train: { file: 'HumanEval.jsonl.gz', split: 'paper' } })
 * ```
 */
export function humaneval(options: CodeDataOptions): Promise<Task<CodeItem>> {
  return fromData('humaneval', options)
}

/** The CoopHumanEval task: problems of HumanEval that can be taken apart, and further ones. Otherwise as {@link humaneval}. */
export function coophumaneval(options: CodeDataOptions): Promise<Task<CodeItem>> {
  return fromData('coophumaneval', options)
}

/** The MBPP task: problems of MBPP in the form of HumanEval. Otherwise as {@link humaneval}. */
export function mbpp({ signatures, ...options }: MbppOptions): Promise<Task<CodeItem>> {
  const isPublished = (signatures ?? (options.rules === 'paper' ? 'published' : 'repaired')) === 'published'
  return isPublished
    ? fromData('mbpp', options, { needsParameters: true })
    : fromData('mbpp', options, { prepare: withSignature })
}

async function fromData(
  name: 'humaneval' | 'coophumaneval' | 'mbpp',
  { train, heldOut, log, ...options }: CodeDataOptions,
  {
    needsParameters,
    prepare = (item) => item,
  }: Pick<CodeTaskOptions, 'needsParameters'> & { prepare?: (item: CodeItem) => CodeItem } = {},
): Promise<Task<CodeItem>> {
  const fields = ['prompt', 'test', 'entry_point']
  const load = async (source: DataSource | readonly CodeItem[], part: 'train' | 'heldOut') => {
    const items = Array.isArray(source)
      ? (source as readonly CodeItem[])
      : await loadSource<CodeItem>(source as DataSource, { task: name, part, fields, log })
    return items.map(prepare)
  }
  const items = await load(train, 'train')
  const settings = { ...options, name, items, needsParameters }
  return codeTask(heldOut === undefined ? settings : { ...settings, heldOut: await load(heldOut, 'heldOut') })
}
