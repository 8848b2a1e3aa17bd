/** The tables of a comparison as cells, for every way of showing them. */
import { cooperationLabels } from '../../sandbox/types.ts'
import type { Column } from '../../tasks/task/columns.ts'
import type { Estimate } from './statistics.ts'
import { type Comparison, cutName, type MethodSummary } from './types.ts'

/** A table of texts; the first column names the row. */
export interface TextTable {
  title: string
  header: string[]
  rows: string[][]
}

/** Text of a cell that is not defined for a method. */
export const noValue = '–'

/** All tables that have anything in them: the paper's, pass@k, cooperation schemes, and the task's metrics. */
export function tablesOf(comparison: Comparison): TextTable[] {
  const tables = [mainTable(comparison), passTable(comparison), schemeTable(comparison), metricTable(comparison)]
  return tables.filter((table) => table !== null)
}

function mainTable({ about, columns, methods }: Comparison): TextTable {
  const isTimed = methods.some(({ speed }) => speed !== null)
  const timing = isTimed ? ['tokens/s', 'time (s)'] : []
  return {
    title: about.name,
    header: ['method', ...timing, ...columns.map(({ title }) => title)],
    rows: methods.map(({ name, speed, time, columns: values }) => [
      name,
      ...(isTimed ? [cell(speed, 1, 1), cell(time, 1, time !== null && time.mean < 1 ? 3 : 1)] : []),
      ...columns.map((column) => columnCell(values[column.name] ?? null, column)),
    ]),
  }
}

/** A score as the tables show it: percent with one decimal, or a plain number with three. */
export function columnCell(value: Estimate | null, { unit }: Column): string {
  return unit === '%' ? cell(value, 100, 1) : cell(value, 1, 3)
}

function passTable({ methods }: Comparison): TextTable | null {
  const counts = [...new Set(methods.flatMap(({ passAt }) => Object.keys(passAt)))].sort(
    (a, b) => Number(a) - Number(b),
  )
  if (counts.length === 0) return null
  return {
    title: 'All tests passed, unbiased pass@k (%)',
    header: ['method', ...counts.map((k) => `pass@${k}`)],
    rows: methods.map(({ name, passAt }) => [name, ...counts.map((k) => cell(passAt[k] ?? null, 100, 1))]),
  }
}

/** How many joint completions of all seeds follow each cooperation scheme; with several turns the mean over these. */
function schemeTable({ about, methods }: Comparison): TextTable | null {
  const { items, samples, seeds } = about
  const all = items * samples * seeds.length
  const counted = methods.filter(({ metrics }) => Object.keys(metrics).some((name) => name.startsWith(schemePrefix)))
  if (counted.length === 0) return null
  const count = (share: Estimate | undefined) => (share === undefined ? noValue : String(Math.round(share.mean * all)))
  return {
    title: `Cooperation schemes, of ${all} joint completions`,
    header: ['scheme', ...counted.map(({ name }) => name)],
    rows: [...cooperationLabels, 'no_program'].map((label) => [
      label,
      ...counted.map(({ metrics }) => count(metrics[`${schemePrefix}${label}`])),
    ]),
  }
}

const schemePrefix = 'cooperation/'

/** Metrics as rows and methods as columns: there are more metrics than methods. */
function metricTable({ about, methods }: Comparison): TextTable | null {
  const isShown = (name: string) => about.shownMetrics.some((prefix) => name.startsWith(prefix))
  const names = [...new Set(methods.flatMap(({ metrics }) => Object.keys(metrics).filter(isShown)))]
  if (names.length === 0) return null
  return {
    title: 'Metrics of the task, means over joint completions',
    header: ['metric', ...methods.map(({ name }) => name)],
    rows: names.map((name) => [name, ...methods.map(({ metrics }) => cell(metrics[name] ?? null, 1, 3))]),
  }
}

function cell(value: Estimate | null, factor: number, decimals: number): string {
  if (value === null) return noValue
  const mean = (factor * value.mean).toFixed(decimals)
  return value.half === null ? mean : `${mean} ±${(factor * value.half).toFixed(decimals)}`
}

/** What has to be known to read the tables, a sentence each. */
export function notesOf({ about, methods }: Comparison): string[] {
  const { items, heldOut, samples, seeds, timedItems, kind, maxReward } = about
  const which = heldOut ? 'held-out items' : 'items of the training set (the task holds none out)'
  const spread = seeds.length > 1 ? 'mean ±95 % Student interval over seeds' : 'one seed, so no interval'
  const isPercent = kind !== 'task' || maxReward !== null
  return [
    `Task ${about.task}: ${items} ${which}, ${samples} joint ${samples === 1 ? 'completion' : 'completions'} each, ` +
      `${seeds.length === 1 ? 'seed' : 'seeds'} ${seeds.join(', ')}; ${spread}.`,
    ...(isPercent
      ? [
          `Scores are % of the maximum; the return is the task’s own reward${kind === 'writing' ? ', components are ungated' : ''}.`,
        ]
      : []),
    ...(timedItems > 0
      ? [
          `Speed (tokens of all agents a second) and response time: generation alone, ${timedItems} items one at a time, on this machine; ` +
            'agents of a round answer in one batch, rounds and turns add up.',
        ]
      : []),
    ...methods.filter((method) => isDividing(method, methods)).map((method) => dividedNote(method, methods)),
    ...about.methods
      .filter(({ turns }) => turns > 1)
      .map(({ name, turns }) => `${name}: ${turns} turns, scores averaged over turns, pass@k of the last.`),
    `Weights: ${about.methods
      .filter(({ scoringOf }) => scoringOf === undefined)
      .map(({ name, weights }) => `${name}: ${weights}`)
      .join('; ')}.`,
  ]
}

/** Whether there is something to say: answers of code tasks, say, can always be taken. */
function isDividing({ name, divided }: MethodSummary, methods: readonly MethodSummary[]): boolean {
  return divided !== null && (divided.mean < 1 || methods.some((other) => other.name === cutName(name)))
}

function dividedNote({ name, divided }: MethodSummary, methods: readonly MethodSummary[]): string {
  const cut = methods.find((other) => other.name === cutName(name))
  const share = `${name}: ${(100 * divided!.mean).toFixed(1)} % of the answers could be taken apart as asked`
  return cut ? `${share}; the row “${cut.name}” cuts the others in the wanted proportion.` : `${share}.`
}
