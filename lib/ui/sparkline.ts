const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const

/**
 * A curve in one line of text, the last value at the right. More values than columns are averaged in equal parts; values
 * that are not finite are left out.
 *
 * @param values the curve, oldest first
 * @param columns most characters; fewer values give a shorter line
 * @param range lowest and highest value of the scale; by default those of the curve
 */
export function sparkline(values: readonly number[], columns: number, range?: readonly [number, number]): string {
  const finite = values.filter(Number.isFinite)
  if (finite.length === 0 || columns < 1) return ''
  const points = finite.length <= columns ? finite : averageParts(finite, columns)
  const [lowest, highest] = range ?? [Math.min(...points), Math.max(...points)]
  const span = highest - lowest
  const height = (value: number) => Math.round((Math.min(Math.max(value, lowest), highest) - lowest) / (span / 7))
  return points.map((value) => bars[span === 0 ? 3 : height(value)]).join('')
}

function averageParts(values: readonly number[], parts: number): number[] {
  return Array.from({ length: parts }, (_, part) => {
    const from = Math.floor((part * values.length) / parts)
    const to = Math.floor(((part + 1) * values.length) / parts)
    const slice = values.slice(from, to)
    return slice.reduce((sum, value) => sum + value, 0) / slice.length
  })
}
