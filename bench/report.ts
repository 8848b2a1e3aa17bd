/** Results on paper: what was measured is kept as JSON, and tables and pictures are made from it alone. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Machine } from './machine.ts'
import { ratioPicture } from './picture.ts'
import type { Row } from './rows.ts'
import { rows as specs } from './rows.ts'
import { type KernelRow, kernelCells } from './suites/kernels.ts'
import { type ScalingRow, scalingCells } from './suites/scaling.ts'
import { markdownTable, rowCells } from './table.ts'

/** What `benchmarks.json` holds. Rows are replaced one by one as they are measured again, the other lists whole. */
export interface Results {
  rows: Row[]
  kernels: { at: string; rows: KernelRow[] } | null
  scaling: { at: string; rows: ScalingRow[] } | null
  /** Of the last measurement. */
  machine: Machine | null
}

const empty: Results = { rows: [], kernels: null, scaling: null, machine: null }

/** The record of a folder; empty where there is none. */
export async function readRecord(folder: string): Promise<Results> {
  try {
    return { ...empty, ...(JSON.parse(await readFile(join(folder, 'benchmarks.json'), 'utf8')) as Partial<Results>) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return empty
    throw error
  }
}

/** `record` with what is new in its place, in the order of the specification. */
export function mergeRecord(record: Results, news: Partial<Results>): Results {
  const key = ({ id, model }: Row) => `${id}/${model}`
  const merged = new Map([...record.rows, ...(news.rows ?? [])].map((row) => [key(row), row]))
  const order = specs.flatMap(({ id, bars }) => Object.keys(bars).map((model) => `${id}/${model}`))
  const rows = order.map((name) => merged.get(name)).filter((row) => row !== undefined)
  return {
    rows,
    kernels: news.kernels ?? record.kernels,
    scaling: news.scaling ?? record.scaling,
    machine: machineOf(record, news),
  }
}

/** The newest machine; versions of programs that its run did not start are those of the runs before. */
function machineOf({ machine }: Results, news: Partial<Results>): Results['machine'] {
  if (!news.machine) return machine
  return { ...news.machine, versions: { ...machine?.versions, ...news.machine.versions } }
}

/** A page of the marked parts alone, for a folder that has none. */
const blankPage = [
  ['# Benchmarks', 'machine'],
  ['## Peers', 'peers'],
  ['## Limits', 'limits'],
  ['## Memory', 'scale'],
  ['## Kernels', 'kernels'],
  ['## Scaling', 'scaling'],
]
  .map(([heading, name]) => `${heading}\n\n<!-- ${name} -->\n<!-- /${name} -->\n`)
  .join('\n')

/** Writes `benchmarks.json`, the marked parts of `benchmarks.md`, and the picture. */
export async function writeReport(folder: string, record: Results): Promise<void> {
  await mkdir(join(folder, 'images'), { recursive: true })
  await writeFile(join(folder, 'benchmarks.json'), `${JSON.stringify(record, null, 1)}\n`)
  await writeFile(join(folder, 'images/benchmarks.svg'), ratioPicture(record.rows))
  const page = join(folder, 'benchmarks.md')
  let text = await readFile(page, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return blankPage
    throw error
  })
  for (const [name, content] of Object.entries(sections(record))) text = replaceSection(text, name, content)
  await writeFile(page, text)
}

/** The parts of the page that are made, by the name in their marks. */
export function sections({ rows, kernels, scaling, machine }: Results): { [name: string]: string } {
  const table = ({ header, lines }: { header: string[]; lines: string[][] }) => markdownTable(header, lines)
  const suiteOf = new Map(specs.map(({ id, suite }) => [id, suite]))
  const of = (suite: string) => rows.filter(({ id }) => suiteOf.get(id) === suite)
  const nothing = 'Not measured yet.'
  return {
    machine: machine === null ? nothing : machineText(machine, rows),
    peers: of('peers').length === 0 ? nothing : table(rowCells(of('peers'))),
    limits: of('limits').length === 0 ? nothing : table(rowCells(of('limits'))),
    scale: of('scale').length === 0 ? nothing : table(rowCells(of('scale'))),
    kernels: kernels === null ? nothing : `Measured ${kernels.at.slice(0, 10)}.\n\n${table(kernelCells(kernels.rows))}`,
    scaling:
      scaling === null ? nothing : `Measured ${scaling.at.slice(0, 10)}.\n\n${table(scalingCells(scaling.rows))}`,
  }
}

const busyText =
  ' **Other programs kept all cores busy: these figures show that the suite runs, not what magrpo is worth. Measure again.**'

function machineText(
  { cpu, cores, features, memoryGiB, threads, load, versions }: Machine,
  rows: readonly Row[],
): string {
  const dates = [...new Set(rows.map(({ at }) => at.slice(0, 10)))].sort()
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `Measured ${dates.join(', ')} on ${cpu}, ${cores} cores (${features.join(', ')}), ${memoryGiB} GiB, with ${threads} thread${threads === 1 ? '' : 's'} a side.`,
    `Average load before and after: ${load.join(' and ')}.${Math.max(...load) > 1.5 * cores ? busyText : ''}`,
    `Versions: ${named.join(', ')}.`,
  ].join('\n')
}

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->`. @throws Error where the marks are missing */
export function replaceSection(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`Expected the marks ${begin} and ${end} in benchmarks.md.`)
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`
}
