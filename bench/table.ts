/** Rows as a table: for a terminal, and in Markdown. */
import type { Row } from './rows.ts'

/** A table of columns as wide as their longest cell; numbers to the right. */
export function textTable(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = header.map((title, column) => Math.max(title.length, ...lines.map((line) => line[column]!.length)))
  const isNumber = header.map(
    (_, column) => lines.length > 0 && lines.every((line) => /^[\d.,<>≥≤x –-]*$/.test(line[column]!)),
  )
  const show = (line: readonly string[]) =>
    line
      .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column]!) : cell.padEnd(widths[column]!)))
      .join('  ')
      .trimEnd()
  return [show(header), widths.map((width) => '-'.repeat(width)).join('  '), ...lines.map(show)].join('\n')
}

/** The same in Markdown. */
export function markdownTable(header: readonly string[], lines: readonly (readonly string[])[]): string {
  const show = (line: readonly string[]) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [show(header), show(header.map(() => '---')), ...lines.map(show)].join('\n')
}

const header = ['row', 'model', 'ours', 'other', 'unit', 'ratio', 'bar', 'met', 'cpu', 'busy', 'note']

/** Header and cells of rows. */
export function rowCells(rows: readonly Row[]): { header: string[]; lines: string[][] } {
  return {
    header,
    lines: rows.map((row) => [
      row.id,
      row.model,
      showNumber(row.ours),
      showNumber(row.peer),
      row.unit,
      row.ratio === null ? '–' : row.ratio.toFixed(2),
      row.bar === undefined
        ? '–'
        : 'atLeast' in row.bar
          ? `≥ ${row.bar.atLeast.toFixed(2)}`
          : `≤ ${row.bar.atMost.toFixed(2)}`,
      row.isMet == null ? '–' : row.isMet ? 'yes' : 'no',
      typeof row.details.processorRatio === 'number' ? row.details.processorRatio.toFixed(2) : '–',
      busyCell(row),
      row.why ?? noteOf(row),
    ]),
  }
}

/** Three digits, without a power of ten. */
export function showNumber(value: number | null): string {
  if (value === null) return '–'
  if (value === 0) return '0'
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))))
  return value.toFixed(Math.min(digits, 6))
}

/** Cores that other programs used during the trials, where the row tells. */
function busyCell({ details }: Row): string {
  const found = spreadsOf(details).map(({ others }) => others)
  return found.length === 0 ? '–' : Math.max(...found).toFixed(2)
}

function noteOf({ details }: Row): string {
  return typeof details.peer === 'string'
    ? `best other: ${details.peer}`
    : typeof details.note === 'string'
      ? details.note
      : ''
}

function spreadsOf(value: unknown): { others: number }[] {
  if (typeof value !== 'object' || value === null) return []
  if ('others' in value && typeof value.others === 'number') return [value as { others: number }]
  return Object.values(value).flatMap(spreadsOf)
}
