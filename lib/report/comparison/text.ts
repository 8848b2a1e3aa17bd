/** A comparison as lines for a terminal. */
import { displayWidth, pad, plain } from '../../ui/width.ts'
import { notesOf, type TextTable, tablesOf } from './tables.ts'
import type { Comparison } from './types.ts'

/** Lines of all tables and of what has to be known to read them. */
export function comparisonLines(comparison: Comparison): string[] {
  return [...tablesOf(comparison).flatMap((table) => [...tableLines(table), '']), ...notesOf(comparison).map(plain)]
}

/** The first column left-aligned, all others right-aligned. */
function tableLines({ title, header, rows }: TextTable): string[] {
  const cells = [header, ...rows].map((row) => row.map(plain))
  const widths = header.map((_, column) => Math.max(...cells.map((row) => displayWidth(row[column]!))))
  const line = (row: readonly string[]) =>
    row.map((text, column) => pad(text, widths[column]!, column === 0 ? 'right' : 'left')).join('  ')
  return [plain(title), '', ...cells.map((row) => `  ${line(row)}`.trimEnd())]
}
