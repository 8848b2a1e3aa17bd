/** The confusion tables of `docs/cooperation.md`. `npx tsx test/tasks/cooperation/write-tables.ts` writes them anew. */
import { readFileSync } from 'node:fs'
import type { PythonSandbox } from '../../../lib/sandbox/python-sandbox.ts'
import {
  type Cooperation,
  type CooperationLabel,
  cooperationLabels,
  detectCooperations,
} from '../../../lib/tasks/code/cooperation.ts'
import { type HandWritten, handWrittenPrograms, heldOutPrograms } from './programs.ts'

/** Where the tables are. */
export const docs = new URL('../../../docs/cooperation.md', import.meta.url)

const markers = { start: '<!-- tables: start -->', end: '<!-- tables: end -->' }

/** The text of the docs with these tables in place of those that are there. */
export function docsWith(tables: string, text = readFileSync(docs, 'utf8')): string {
  const [start, end] = [text.indexOf(markers.start), text.indexOf(markers.end)]
  if (start < 0 || end < start) throw new Error(`docs/cooperation.md has no ${markers.start} ... ${markers.end}`)
  return `${text.slice(0, start + markers.start.length)}\n${tables}\n${text.slice(end)}`
}

/** Both tables; `found` are the detector's answers to {@link handWrittenPrograms}, run as well as read. */
export async function confusionTables(sandbox: PythonSandbox, found: readonly Cooperation[]): Promise<string> {
  const heldOut = heldOutPrograms()
  const read = await detectCooperations(heldOut, { sandbox })
  return [
    'Programs the rules were made with. The last column: in how many of them running the program confirms the label.',
    '',
    ...table(handWrittenPrograms(), found, true),
    '',
    `Programs written afterwards, never used to change a rule: ${right(heldOut, read)} of ${heldOut.length} right.`,
    '',
    ...table(heldOut, read, false),
    '',
    ...misses(heldOut, read),
  ].join('\n')
}

type Labelled = Pick<HandWritten, 'label' | 'name'>

function right(programs: readonly Labelled[], found: readonly Cooperation[]): number {
  return programs.filter(({ label }, index) => found[index]!.primary === label).length
}

function table(programs: readonly Labelled[], found: readonly Cooperation[], isRun: boolean): string[] {
  const rows = cooperationLabels.map((label) => {
    const answers = found.filter((_, index) => programs[index]!.label === label)
    const counts = cooperationLabels.map((answer) => answers.filter(({ primary }) => primary === answer).length)
    const confirmed = answers.filter(({ dynamic }) => dynamic?.confirmed[label]).length
    const run = answers.filter(({ dynamic }) => dynamic !== undefined).length
    return [
      code(label),
      ...counts.map((count) => (count === 0 ? '' : String(count))),
      ...(isRun ? [`${confirmed}/${run}`] : []),
    ]
  })
  const head = ['a person says', ...cooperationLabels.map(code), ...(isRun ? ['confirmed'] : [])]
  const widths = head.map((word, column) => Math.max(word.length, ...rows.map((row) => row[column]!.length)))
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)
  const line = (cells: readonly string[]) => `| ${cells.map(pad).join(' | ')} |`
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))
  return [line(head), line(rule), ...rows.map(line)]
}

function misses(programs: readonly Labelled[], found: readonly Cooperation[]): string[] {
  const lines = programs.flatMap(({ label, name }, index) => {
    const primary: CooperationLabel | null = found[index]!.primary
    return primary === label
      ? []
      : [`- "${name}": a person says ${code(label)}, the detector ${code(primary ?? 'nothing')}`]
  })
  return lines.length === 0 ? [] : ['The others:', '', ...lines]
}

function code(word: string): string {
  return `\`${word}\``
}
