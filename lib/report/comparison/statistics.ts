/** The statistics of a comparison: intervals over seeds, and pass@k. */
import { mean, standardError } from '../../base/statistics.ts'

/** A mean over seeds and its 95 % confidence interval, `mean ± half`. */
export interface Estimate {
  mean: number
  /** Half the width of the interval; null for a single seed, which says nothing about the spread. */
  half: number | null
  /** The value of each seed, in the order of the seeds. */
  values: number[]
}

/** Student's t interval of the mean of values that are one per seed; null without any. */
export function estimate(values: readonly number[]): Estimate | null {
  if (values.length === 0) return null
  const half = values.length === 1 ? null : studentQuantile(values.length - 1) * standardError(values)
  return { mean: mean(values), half, values: [...values] }
}

/** 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom. */
const quantiles = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
]

/**
 * The 97.5 % quantile of Student's t distribution: the normal quantile and the first two terms of its Cornish-Fisher expansion
 * beyond 30 degrees of freedom, where they are exact to three decimals.
 *
 * @param degrees integer from 1
 */
export function studentQuantile(degrees: number): number {
  const known = quantiles[degrees - 1]
  if (known !== undefined) return known
  const z = 1.959964
  const first = (z ** 3 + z) / 4
  const second = (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96
  return z + first / degrees + second / degrees ** 2
}

/**
 * Unbiased estimate of the probability that at least one of k programs passes, from n programs of which m pass:
 * 1 - C(n-m, k) / C(n, k) (Chen et al. 2021, eq. 1), as a product that overflows nowhere.
 *
 * @param n programs sampled, at least k
 * @param m of them that pass
 * @throws RangeError unless 1 <= k <= n and 0 <= m <= n
 */
export function passAtK(n: number, m: number, k: number): number {
  if (!(k >= 1 && k <= n && m >= 0 && m <= n))
    throw new RangeError(`Expected 1 <= k <= n and 0 <= m <= n but received n ${n}, m ${m}, k ${k}.`)
  if (n - m < k) return 1
  let missed = 1
  for (let i = n - m + 1; i <= n; i++) missed *= 1 - k / i
  return 1 - missed
}
