import test from 'ava'
import fc from 'fast-check'
import { estimate, passAtK, studentQuantile } from '../../lib/report/comparison/statistics.ts'

test('pass@k equals the share of all subsets of k that hold a passing program', (t) => {
  const subsets = (n: number, k: number): number[] =>
    Array.from({ length: 2 ** n }, (_, set) => set).filter((set) => bits(set) === k)
  const bits = (set: number): number => (set === 0 ? 0 : (set & 1) + bits(set >> 1))
  for (let n = 1; n <= 10; n++)
    for (let m = 0; m <= n; m++)
      for (let k = 1; k <= n; k++) {
        // Programs 0 to m - 1 pass.
        const all = subsets(n, k)
        const share = all.filter((set) => (set & (2 ** m - 1)) !== 0).length / all.length
        t.true(Math.abs(passAtK(n, m, k) - share) < 1e-12, `${n} ${m} ${k}`)
      }
})

test('pass@k at its ends, and where binomials overflow', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5000 }), fc.nat(5000), (n, more) => {
      const m = more % (n + 1)
      const values = [1, 3, 5, 10].filter((k) => k <= n).map((k) => passAtK(n, m, k))
      return (
        Math.abs(values[0]! - m / n) < 1e-9 &&
        values.every((value, i) => value >= 0 && value <= 1 && value >= (values[i - 1] ?? 0))
      )
    }),
  )
  t.is(passAtK(2000, 0, 10), 0)
  t.is(passAtK(2000, 1991, 10), 1)
  for (const [n, m, k] of [
    [3, 1, 4],
    [3, 4, 1],
    [3, -1, 1],
    [3, 1, 0],
  ] as const)
    t.throws(() => passAtK(n, m, k), { instanceOf: RangeError })
})

test("intervals are Student's over seeds", (t) => {
  t.is(estimate([]), null)
  t.deepEqual(estimate([0.4]), { mean: 0.4, half: null, values: [0.4] })
  const { mean, half } = estimate([1, 2, 4])!
  t.true(Math.abs(mean - 7 / 3) < 1e-12)
  // Sample deviation of 1, 2, 4 is sqrt(7/3); 4.303 is the quantile of 2 degrees of freedom.
  t.true(Math.abs(half! - (4.303 * Math.sqrt(7 / 3)) / Math.sqrt(3)) < 1e-12)
  t.is(estimate([2, 2, 2])!.half, 0)
})

test("the quantiles leave 2.5 % of Student's density above them", (t) => {
  for (const degrees of [1, 2, 3, 5, 10, 20, 30, 31, 40, 100, 1000]) {
    const above = upperTail(studentQuantile(degrees), degrees)
    t.true(Math.abs(above - 0.025) < 2e-5, `${degrees}: ${above}`)
  }
})

/** Integral of the density above x: Simpson's rule after x = sqrt(degrees) tan(angle), which makes it finite. */
function upperTail(x: number, degrees: number): number {
  const density = (angle: number) => Math.max(0, Math.cos(angle)) ** (degrees - 1)
  const integral = (from: number, to: number) => {
    const pieces = 20_000
    const step = (to - from) / pieces
    let total = density(from) + density(to)
    for (let i = 1; i < pieces; i++) total += (i % 2 === 1 ? 4 : 2) * density(from + i * step)
    return (total * step) / 3
  }
  return integral(Math.atan(x / Math.sqrt(degrees)), Math.PI / 2) / integral(-Math.PI / 2, Math.PI / 2)
}
