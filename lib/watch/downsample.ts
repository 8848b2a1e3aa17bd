/** A curve to draw. Where several steps were joined in one point, `low` and `high` are the extremes among them. */
export interface Series {
  step: number[]
  value: number[]
  low?: number[]
  high?: number[]
}

/**
 * A curve with at most `points` points. Neighbours are joined in groups of a power of two (mean, and extremes beside it), counted
 * from the start, so that points stay where they are while a curve grows; the last value always shows by itself.
 *
 * @param step (n) ascending
 * @param value (n)
 * @param points at least 2
 */
export function downsample(step: readonly number[], value: readonly number[], points: number): Series {
  const count = step.length
  if (count <= points) return { step: [...step], value: [...value] }
  let size = 2
  while (Math.ceil((count - 1) / size) + 1 > points) size *= 2
  const series: Required<Series> = { step: [], value: [], low: [], high: [] }
  const push = (at: number, mean: number, low: number, high: number) => {
    series.step.push(at)
    series.value.push(mean)
    series.low.push(low)
    series.high.push(high)
  }
  for (let start = 0; start < count - 1; start += size) {
    const end = Math.min(start + size, count - 1)
    let [sum, low, high] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
    for (let index = start; index < end; index++) {
      const each = value[index]!
      sum += each
      if (each < low) low = each
      if (each > high) high = each
    }
    push(step[(start + end - 1) >> 1]!, sum / (end - start), low, high)
  }
  const last = value[count - 1]!
  push(step[count - 1]!, last, last, last)
  return series
}
