/** A comparison as an SVG picture: a row per method, a panel per column, bars with their intervals. Readable in light and dark. */

import type { Estimate } from './statistics.ts'
import { columnCell, noValue } from './tables.ts'
import type { Comparison, MethodSummary } from './types.ts'

const panelWidth = 118
const panelGap = 22
const rowHeight = 34
const top = 64
const margin = 16
const nameWidth = 190

/** What one panel shows. */
interface Panel {
  title: string
  value(method: MethodSummary): Estimate | null
  text(value: Estimate | null): string
  /** Value at the right edge; intervals may reach it. */
  full: number
}

/** The picture as SVG text; it follows the reader's light or dark setting where the viewer tells it. */
export function comparisonPicture(comparison: Comparison): string {
  const { about, methods } = comparison
  const panels = panelsOf(comparison)
  const width = 2 * margin + nameWidth + panels.length * (panelWidth + panelGap)
  const height = top + methods.length * rowHeight + 40
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">`,
    `<title id="title">${escapeText(`${about.name}: methods on ${about.task}`)}</title>`,
    `<style>${style}</style>`,
    `<rect class="ground" width="${width}" height="${height}" rx="6"/>`,
    text(margin, 26, 'title', `${about.name}: ${about.task}`),
    ...methods.map(({ name }, row) => text(margin, rowMiddle(row) + 4, 'name', shortened(name))),
    ...panels.flatMap((panel, index) =>
      drawPanel(panel, methods, margin + nameWidth + index * (panelWidth + panelGap)),
    ),
    text(margin, height - 14, 'note', footnote(comparison)),
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

const style = [
  'text{font-family:system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328;font-size:12px}',
  '.title{font-weight:600;font-size:15px}.head{font-weight:600}.value{font-size:11px}.note{font-size:11px;fill:#59636e}',
  '.ground{fill:#ffffff}.track{fill:#eceff2}.bar{fill:#3b7dd8}.best{fill:#1a7f5a}.interval{stroke:#1f2328;stroke-width:1.3}',
  '@media (prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}.ground{fill:#0d1117}.track{fill:#22272e}',
  '.bar{fill:#5b9cf0}.best{fill:#3fb984}.interval{stroke:#e6edf3}}',
].join('')

const rowMiddle = (row: number) => top + row * rowHeight + rowHeight / 2

function panelsOf({ columns, methods }: Comparison): Panel[] {
  const scores = columns.map((column): Panel => {
    const value = (method: MethodSummary) => method.columns[column.name] ?? null
    return {
      title: column.unit === '%' ? `${column.title} %` : column.title,
      value,
      text: (cell) => columnCell(cell, column),
      full: column.unit === '%' ? 1 : reach(methods.map(value)),
    }
  })
  if (methods.every(({ speed }) => speed === null)) return scores
  const plainCell = (cell: Estimate | null) => (cell === null ? noValue : cell.mean.toFixed(cell.mean < 1 ? 3 : 1))
  const timing = (title: string, value: Panel['value']): Panel => ({
    title,
    value,
    text: plainCell,
    full: reach(methods.map(value)),
  })
  return [timing('tokens/s', ({ speed }) => speed), timing('time (s)', ({ time }) => time), ...scores]
}

/** Largest end of an interval, at least a little above 0. */
function reach(values: readonly (Estimate | null)[]): number {
  return Math.max(1e-9, ...values.map((value) => (value === null ? 0 : value.mean + (value.half ?? 0))))
}

function drawPanel(panel: Panel, methods: readonly MethodSummary[], left: number): string[] {
  const place = (value: number) => left + panelWidth * Math.min(1, Math.max(0, value / panel.full))
  const means = methods.map((method) => panel.value(method)?.mean ?? Number.NEGATIVE_INFINITY)
  const best = panel.title === 'time (s)' ? -1 : means.indexOf(Math.max(...means))
  return [
    text(left, top - 10, 'head', panel.title),
    ...methods.flatMap((method, row) => {
      const value = panel.value(method)
      const y = rowMiddle(row)
      const label = text(left, y - 5, 'value', panel.text(value))
      if (value === null) return [label]
      const bar = (kind: string, end: number) =>
        `<rect class="${kind}" x="${round(left)}" y="${y}" width="${round(end - left)}" height="8" rx="1.5"/>`
      return [
        label,
        bar('track', left + panelWidth),
        bar(row === best ? 'best' : 'bar', place(value.mean)),
        ...interval(value, y + 4, place, panel.full),
      ]
    }),
  ]
}

/** A line from end to end of an interval; an end beyond the panel has no cap. */
function interval({ mean, half }: Estimate, y: number, place: (value: number) => number, full: number): string[] {
  if (half === null || half === 0) return []
  const ends = [mean - half, mean + half]
  const [from, to] = ends.map((end) => round(place(end)))
  const caps = ends.filter((end) => end >= 0 && end <= full).map((end) => `M${round(place(end))} ${y - 3}v6`)
  return [`<path class="interval" fill="none" d="M${from} ${y}H${to}${caps.join('')}"/>`]
}

function footnote({ about: { items, samples, seeds } }: Comparison): string {
  const number = (count: number, word: string) => `${count} ${word}${count === 1 ? '' : 's'}`
  const spread = seeds.length > 1 ? '; lines: 95 % interval over seeds' : ''
  const size = [number(items, 'item'), `${number(samples, 'joint completion')} each`, number(seeds.length, 'seed')]
  return `${size.join(', ')}${spread}; green: highest mean`
}

const round = (value: number) => Math.round(10 * value) / 10
const shortened = (name: string) => (name.length > 28 ? `${name.slice(0, 27)}…` : name)

function text(x: number, y: number, kind: string, content: string): string {
  return `<text class="${kind}" x="${round(x)}" y="${round(y)}">${escapeText(content)}</text>`
}

/** Text as XML; what XML cannot hold is dropped. */
function escapeText(content: string): string {
  const signs: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return content.replace(/[^\P{Control}]/gu, ' ').replace(/[&<>"]/g, (sign) => signs[sign]!)
}
