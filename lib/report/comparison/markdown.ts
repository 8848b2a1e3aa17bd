/** A comparison as Markdown. */
import { notesOf, tablesOf } from './tables.ts'
import type { Comparison } from './types.ts'

/** All tables with their notes; ends with a line break. */
export function comparisonMarkdown(comparison: Comparison): string {
  const tables = tablesOf(comparison).map(({ title, header, rows }) => {
    const line = (cells: readonly string[]) => `| ${cells.map(escapeCell).join(' | ')} |`
    const rule = `| --- |${' ---: |'.repeat(header.length - 1)}`
    return [`### ${escapeCell(title)}`, '', line(header), rule, ...rows.map(line), ''].join('\n')
  })
  return `${[...tables, ...notesOf(comparison).map((note) => `- ${escapeCell(note)}`)].join('\n')}\n`
}

const escapeCell = (text: string) => text.replace(/[\\|`*_<>[\]]/g, (sign) => `\\${sign}`).replace(/\s+/g, ' ')
