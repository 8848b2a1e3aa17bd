/** The items of a task from wherever they are: a file, a data set of the hub, or the paper's part of either. */

import { MagrpoError } from '../../base/errors.ts'
import { nearest } from '../../base/nearest.ts'
import { resolve } from '../../base/validate.ts'
import { loadItems } from './items.ts'
import { parseSplit, type SplitSlice } from './slice.ts'
import { type AnySource, type DataSource, type ItemSource, type PublishedData, sourceOptions } from './source.ts'

/** What {@link loadSource} has to know besides. */
interface LoadSourceOptions {
  /** The task's published data set, for its named splits. */
  published?: PublishedData
  /** Which part of a named split. */
  part: 'train' | 'heldOut'
  /** Fields that every item must have, as strings. */
  fields: readonly string[]
  /** Told of downloads. */
  log?: (message: string) => void
  signal?: AbortSignal
}

/**
 * Loads items. Nothing is downloaded but what a source names, and that once, into the standard Hugging Face cache.
 *
 * @throws MagrpoError `ERR_DATA` naming file, line or row, and field, or the data set that cannot be had; `ERR_ARGUMENT` for a
 *   split that is none
 */
export async function loadSource<Item>(source: DataSource, options: LoadSourceOptions): Promise<Item[]> {
  const { file, hub, split, revision, config, offset = 0, limit = Infinity } = asObject(source, options)
  const slices = splitSlices(split, options)
  const { fields, signal } = options
  let slice = slices[0]!
  let files: readonly string[] = file === undefined ? [] : [file]
  if (hub !== undefined) {
    const { hubFiles } = await import('./hub.ts')
    const names = slices.map(({ name }) => name ?? 'train')
    const found = await hubFiles({ repository: hub, revision, config, splits: names, log: options.log, signal })
    slice = slices[names.indexOf(found.split)]!
    files = found.files
  }
  // Counted from the end, a part is known only when everything is read.
  const isOpen = slice.start < 0 || slice.stop < 0
  const start = isOpen ? 0 : slice.start + offset
  const stop = isOpen ? Infinity : Math.min(slice.stop, start + limit)
  const whole = await loadRows<Item>(files, fields, start, stop, signal)
  const part = isOpen ? whole.slice(slice.start, finite(slice.stop)) : whole
  const rows = isOpen ? part.slice(offset, finite(offset + limit)) : part
  if (rows.length > 0) return rows
  const what = hub ?? file
  const size = isOpen ? ` of its ${whole.length} items` : ''
  throw new MagrpoError(
    'ERR_DATA',
    `Data ${what}: the part asked for (${describe(slice, offset, limit)}) has none${size}.`,
    {
      details: { file: what },
    },
  )
}

/** Options of a task that {@link loadSplits} looks at. */
export const dataKeys: readonly string[] = ['train', 'heldOut', 'log']

/** What {@link loadSplits} has to know besides. */
interface LoadSplitsOptions<Item> extends Omit<LoadSourceOptions, 'part'> {
  /** Changes each item that was loaded or given. */
  prepare?(item: Item): Item
}

/**
 * The items of a task from its options.
 *
 * @throws MagrpoError as {@link loadSource} does
 */
export async function loadSplits<Item>(
  { train, heldOut }: { train: ItemSource<Item>; heldOut?: ItemSource<Item> },
  { prepare = (item) => item, ...options }: LoadSplitsOptions<Item>,
): Promise<{ items: readonly Item[]; heldOut?: readonly Item[] }> {
  const load = async (source: ItemSource<Item>, part: 'train' | 'heldOut') => {
    const isItems = (given: ItemSource<Item>): given is readonly Item[] => Array.isArray(given)
    return (isItems(source) ? source : await loadSource<Item>(source, { ...options, part })).map(prepare)
  }
  const items = await load(train, 'train')
  return heldOut === undefined ? { items } : { items, heldOut: await load(heldOut, 'heldOut') }
}

const finite = (index: number) => (index === Infinity ? undefined : index)

function describe({ start, stop }: SplitSlice, offset: number, limit: number): string {
  const part = `[${start}:${finite(stop) ?? ''}]`
  return offset === 0 && limit === Infinity ? part : `${part}, offset ${offset}, limit ${limit}`
}

/** Rows `start` to `stop` of files that follow each other. */
async function loadRows<Item>(
  files: readonly string[],
  fields: readonly string[],
  start: number,
  stop: number,
  signal?: AbortSignal,
): Promise<Item[]> {
  if (stop <= start) return []
  if (files.length === 1) return loadItems<Item>(files[0]!, { fields, offset: start, limit: stop - start, signal })
  const rows: Item[] = []
  for (const file of files) {
    if (rows.length >= stop) break
    rows.push(...(await loadItems<Item>(file, { fields, limit: stop - rows.length, signal })))
  }
  return rows.slice(start)
}

function asObject(given: DataSource, { published, part }: LoadSourceOptions): AnySource {
  const source = resolve(sourceOptions.train, given, `The option ${part}`)
  if (typeof source !== 'string') return source
  if (source.startsWith('hub:')) {
    const [hub, revision] = source.slice(4).split('@') as [string, string?]
    return { hub, revision }
  }
  if (published && Object.hasOwn(published.splits, source)) return { hub: published.hub, split: source }
  return { file: source }
}

/** The parts that a split's text stands for: one, or several of which the data set has one. */
function splitSlices(split: string | undefined, { published, part }: LoadSourceOptions): [SplitSlice, ...SplitSlice[]] {
  if (split === undefined) return [{ name: undefined, start: 0, stop: Infinity }]
  const named = published?.splits ?? {}
  if (!Object.hasOwn(named, split)) {
    const near = /\[/.test(split) ? undefined : nearest(split, Object.keys(named))
    if (near !== undefined && split.startsWith('paper'))
      throw new MagrpoError('ERR_ARGUMENT', `There is no split ${JSON.stringify(split)}; did you mean "${near}"?`)
    return [parseSplit(split)]
  }
  const texts = named[split]![part]
  if (texts === undefined)
    throw new MagrpoError(
      'ERR_ARGUMENT',
      `The split "${split}" of ${published!.hub} has held-out items only; use it for heldOut, and another one for train.`,
    )
  return texts.map(parseSplit) as [SplitSlice, ...SplitSlice[]]
}
