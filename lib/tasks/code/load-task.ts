/** A code task of published problems, from a file or from the hub. */
import { expectObject } from '../../base/arguments.ts'
import { loadSplits } from '../datasets/load.ts'
import type { PublishedData } from '../datasets/source.ts'
import type { Task } from '../task/types.ts'
import type { CodeItem } from './item.ts'
import type { CodeSources } from './options.ts'
import { type CodeTaskOptions, codeSettingsOf, codeTask } from './task.ts'

/** Options of the code tasks with published problems. */
export interface CodeDataOptions
  extends Omit<CodeTaskOptions, 'items' | 'heldOut' | 'name' | 'needsParameters'>,
    CodeSources {}

/** What differs between the code tasks. */
interface CodeTaskKind extends Pick<CodeTaskOptions, 'needsParameters'> {
  name: string
  published: PublishedData
  /** Changes each problem. */
  prepare?(item: CodeItem): CodeItem
}

/** Makes a code task of the problems that its options name. */
export async function loadCodeTask(
  all: CodeDataOptions,
  { name, published, prepare, needsParameters }: CodeTaskKind,
): Promise<Task<CodeItem>> {
  expectObject(all, `options of tasks.${name}`)
  const { train, heldOut, log, ...options } = all
  // Before anything is loaded.
  codeSettingsOf(name, options)
  const fields = ['prompt', 'test', 'entry_point']
  const splits = await loadSplits({ train, heldOut }, { published, fields, prepare, log })
  return codeTask({ ...options, ...splits, name, needsParameters })
}
