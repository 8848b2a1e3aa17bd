/** Which files of a data set's repository hold a split, as the hub's own tools tell them by their names. */
import { posix } from 'node:path'

const kinds = [/\.parquet$/, /\.jsonl$/, /\.jsonl\.gz$/, /\.json$/, /\.json\.gz$/]

/** Other words for a split in names of files. */
const synonyms: Record<string, readonly string[]> = {
  train: ['train', 'training'],
  test: ['test', 'testing', 'eval', 'evaluation'],
  validation: ['validation', 'valid', 'val', 'dev'],
  val: ['val', 'validation', 'valid', 'dev'],
}

/**
 * The files of a split, in the order of their names; of one kind, the first of Parquet, JSON Lines and JSON that there is.
 * A data set whose files name no split has all of them in `train`.
 *
 * @returns null if there are none; the folders where they are if they are in several
 */
export function chooseFiles(
  paths: readonly string[],
  split: string,
  config?: string,
): string[] | { folders: string[] } | null {
  const visible = paths.filter((path) => !path.split('/').some((part) => part.startsWith('.')))
  const inConfig = config === undefined ? visible : visible.filter((path) => path.split('/').includes(config))
  for (const kind of kinds) {
    const ofKind = inConfig.filter(
      (path) => kind.test(path) && !/(^|\/)(dataset_infos?|state|config)\.json$/.test(path),
    )
    const named = ofKind.filter((path) => names(path, split))
    const namesNone = ofKind.every((path) => !Object.keys(synonyms).some((other) => names(path, other)))
    const found = (named.length > 0 ? named : split === 'train' && namesNone ? ofKind : []).sort()
    if (found.length === 0) continue
    const folders = [...new Set(found.map((path) => posix.dirname(path)))]
    return folders.length > 1 ? { folders } : found
  }
  return null
}

/** Whether the file's name, or that of its folder, has the split's word in it by itself. */
function names(path: string, split: string): boolean {
  const words = path.toLowerCase().split(/[^a-z]+/)
  return (synonyms[split] ?? [split.toLowerCase()]).some((word) => words.includes(word))
}

/** Whether all pieces are there: files named `…-00000-of-00002…` say how many there are. */
export function isComplete(files: readonly string[]): boolean {
  const total = /-of-(\d+)/.exec(files[0] ?? '')?.[1]
  return files.length > 0 && (total === undefined || files.length === Number(total))
}
