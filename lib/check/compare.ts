/** Differences of lists of numbers, as rows of a check. */
import type { CheckRow } from './types.ts'

/** How far apart two lists are. */
export interface Difference {
  value: number
  /** Of the pair that is furthest apart. */
  place: number
  expected: number
  seen: number
}

/** The largest |a - b|; NaN wherever one side has it alone, and infinite for lists of other lengths. */
export function largestDifference(seen: ArrayLike<number>, expected: ArrayLike<number>): Difference {
  if (seen.length !== expected.length)
    return { value: Infinity, place: 0, expected: expected.length, seen: seen.length }
  let worst: Difference = { value: 0, place: 0, expected: expected[0] ?? 0, seen: seen[0] ?? 0 }
  for (let i = 0; i < seen.length; i++) {
    if (Object.is(seen[i], expected[i])) continue
    const value = Math.abs(seen[i]! - expected[i]!)
    if (value > worst.value || Number.isNaN(value)) worst = { value, place: i, expected: expected[i]!, seen: seen[i]! }
    if (Number.isNaN(value)) break
  }
  return worst
}

/** ‖a - b‖ / ‖b‖ of lists that are taken together. */
export function relativeDifference(seen: readonly ArrayLike<number>[], expected: readonly ArrayLike<number>[]): number {
  let apart = 0
  let whole = 0
  for (const [number, list] of expected.entries())
    for (let i = 0; i < list.length; i++) {
      apart += (seen[number]![i]! - list[i]!) ** 2
      whole += list[i]! ** 2
    }
  return Math.sqrt(apart / whole)
}

/** What a row is about. */
export type Subject = Pick<CheckRow, 'what' | 'how' | 'dtype'>

/** A row of numbers that may differ by `bound`. */
export function rowOf(subject: Subject, { value, place, expected, seen }: Difference, bound: number): CheckRow {
  const passed = value <= bound
  const failure = passed ? null : `number ${place}: expected ${expected} but received ${seen}`
  return { ...subject, cases: 1, difference: Number.isFinite(value) ? value : null, bound, passed, failure }
}

/** A row of something that is as it should be, or not. */
export function equalRow(subject: Subject, passed: boolean, failure: string): CheckRow {
  return { ...subject, cases: 1, difference: null, bound: null, passed, failure: passed ? null : failure }
}

/**
 * Whether counts may be those of draws with these probabilities: Pearson's statistic over tokens that are expected five times at least, the
 * others together. Its bound is exceeded once in a million right samplers (Wilson and Hilferty 1931).
 *
 * @returns the statistic and its bound
 */
export function chiSquare(
  counts: readonly number[],
  probabilities: readonly number[],
): { value: number; bound: number } {
  const draws = counts.reduce((sum, count) => sum + count, 0)
  let value = 0
  let freedom = -1
  const rest = { count: 0, expected: 0 }
  for (const [token, count] of counts.entries()) {
    const expected = draws * probabilities[token]!
    if (expected >= 5) {
      value += (count - expected) ** 2 / expected
      freedom++
    } else {
      rest.count += count
      rest.expected += expected
    }
  }
  // One draw of what is expected almost never means nothing, and ten do.
  if (rest.expected >= 1 || rest.count > 0) {
    value += (rest.count - rest.expected) ** 2 / Math.max(1, rest.expected)
    freedom++
  }
  const oneInAMillion = 4.75
  const spread = 2 / (9 * Math.max(1, freedom))
  return { value, bound: Math.max(1, freedom) * (1 - spread + oneInAMillion * Math.sqrt(spread)) ** 3 }
}
