/** The few statistics the trainer needs, on plain arrays. */

/** Sum; 0 for an empty array. */
export function sum(values: ArrayLike<number>): number {
  let total = 0
  for (let i = 0; i < values.length; i++) total += values[i]!
  return total
}

/** Arithmetic mean; NaN for an empty array. */
export function mean(values: ArrayLike<number>): number {
  return sum(values) / values.length
}

/** The values that are there, without those that are null. */
export function present(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null)
}

/** Standard deviation of the population (divided by n); NaN for an empty array. */
export function populationStd(values: ArrayLike<number>): number {
  return Math.sqrt(squaredDeviations(values) / values.length)
}

/** Standard error of the mean, from the sample's standard deviation (n - 1); 0 for fewer than two values. */
export function standardError(values: ArrayLike<number>): number {
  const count = values.length
  return count < 2 ? 0 : Math.sqrt(squaredDeviations(values) / (count - 1) / count)
}

/** Largest value; -Infinity for an empty array. */
export function largest(values: ArrayLike<number>): number {
  let best = -Infinity
  for (let i = 0; i < values.length; i++) best = Math.max(best, values[i]!)
  return best
}

/** Smallest value; Infinity for an empty array. */
export function smallest(values: ArrayLike<number>): number {
  let best = Infinity
  for (let i = 0; i < values.length; i++) best = Math.min(best, values[i]!)
  return best
}

function squaredDeviations(values: ArrayLike<number>): number {
  const centre = mean(values)
  let total = 0
  for (let i = 0; i < values.length; i++) total += (values[i]! - centre) ** 2
  return total
}
