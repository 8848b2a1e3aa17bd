/** The ratios as a picture: one bar a row, with a mark where it is to be. */
import type { Row } from './rows.ts'

const [left, right, lineHeight, top] = [190, 60, 22, 46]
const width = 760

/** An SVG with a bar for every row that has a ratio and a bar to reach, in units of that bar; longer is better. */
export function ratioPicture(rows: readonly Row[]): string {
  const shown = rows.filter((row) => row.ratio !== null && row.bar !== undefined)
  const values = shown.map(reached)
  const most = Math.max(1.5, ...values)
  const scale = (value: number) => left + ((width - left - right) * Math.min(value, most)) / most
  const height = top + lineHeight * shown.length + 16
  const lines = shown.flatMap((row, index) => {
    const y = top + lineHeight * index
    const value = values[index]!
    const end = scale(value)
    return [
      `<text x="${left - 8}" y="${y + 12}" text-anchor="end">${row.id} / ${row.model}</text>`,
      `<rect x="${left}" y="${y}" width="${(end - left).toFixed(1)}" height="15" class="${value >= 1 ? 'met' : 'short'}"/>`,
      `<text x="${(end + 6).toFixed(1)}" y="${y + 12}">${row.ratio!.toFixed(2)}</text>`,
    ]
  })
  const goal = scale(1).toFixed(1)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">
<title>Share of each bar that was reached</title>
<style>
rect.page { fill: #ffffff } text { fill: #24292f } .met { fill: #2f7d4f } .short { fill: #c2703d } line { stroke: #24292f; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) { rect.page { fill: #0d1117 } text { fill: #e6edf3 } line { stroke: #e6edf3 } }
</style>
<rect class="page" width="${width}" height="${height}"/>
<text x="${left}" y="16" font-weight="600">Share of the goal that is reached (dashed: the goal; figures: the ratios)</text>
<line x1="${goal}" y1="26" x2="${goal}" y2="${height - 10}"/>
${lines.join('\n')}
</svg>
`
}

/** How much of its goal a row reaches: 1 is just there, more is better, whichever way the ratio goes. */
export function reached({ ratio, bar }: Row): number {
  return 'atLeast' in bar! ? ratio! / bar.atLeast : bar!.atMost / ratio!
}
