const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const

/**
 * A curve in one line of text, the last value at the right. More values than columns are averaged in equal parts; values
 * that are not finite are left out.
 *
 * @param values the curve, oldest first
 * @param columns most characters; fewer values give a shorter line
 */
export function sparkline(values: readonly number[], columns: number): string {
  const finite = values.filter(Number.isFinite)
  if (finite.length === 0 || columns < 1) return ''
  const points = finite.length <= columns ? finite : averageParts(finite, columns)
  const lowest = Math.min(...points)
  const span = Math.max(...points) - lowest
  return points.map((value) => bars[span === 0 ? 3 : Math.round(((value - lowest) / span) * 7)]).join('')
}

function averageParts(values: readonly number[], parts: number): number[] {
  return Array.from({ length: parts }, (_, part) => {
    const from = Math.floor((part * values.length) / parts)
    const to = Math.floor(((part + 1) * values.length) / parts)
    const slice = values.slice(from, to)
    return slice.reduce((sum, value) => sum + value, 0) / slice.length
  })
}
