import test from 'ava'
import { chiSquare, largestDifference, relativeDifference, rowOf } from '../../lib/check/compare.ts'
import { kernelRows } from '../../lib/check/kernels.ts'
import type { NativeKernelResult } from '../../lib/native/addon-types.ts'

const subject = { what: 'a', how: 'b', dtype: 'float32' as const }

test('a difference says where it is; NaN and lists of other lengths never pass', (t) => {
  t.deepEqual(largestDifference([1, 5, 3], [1, 2, 3]), { value: 3, place: 1, expected: 2, seen: 5 })
  t.is(rowOf(subject, largestDifference([1, 5], [1, 2]), 1).failure, 'number 1: expected 2 but received 5')
  t.true(rowOf(subject, largestDifference([Number.NaN], [Number.NaN]), 0).passed)
  for (const seen of [
    [1, Number.NaN, 3],
    [1, 2],
    [1, Infinity, 3],
  ])
    t.false(rowOf(subject, largestDifference(seen, [1, 2, 3]), 1e9).passed, `${seen}`)
  t.is(relativeDifference([[3, 0]], [[3, 4]]), 0.8)
})

test('counts of right draws pass, and those of a sampler that prefers a token do not', (t) => {
  const probabilities = Array.from({ length: 40 }, (_, i) => (i < 39 ? 0.025 : 0.025))
  const even = chiSquare(new Array(40).fill(50), probabilities)
  t.true(even.value <= even.bound)
  const skewed = new Array(40).fill(50).map((count, i) => (i === 0 ? count + 60 : i === 1 ? count - 40 : count))
  const { value, bound } = chiSquare(skewed, probabilities)
  t.true(value > bound, `${value} ${bound}`)
  // A token that is never expected.
  t.true(chiSquare([1000, 10], [1, 0]).value > chiSquare([1000, 10], [1, 0]).bound)
})

test('kernels are told by kernel and dtype, with the worst case and every failure', (t) => {
  const result = (shape: string, difference: number, rest: Partial<NativeKernelResult> = {}): NativeKernelResult => {
    const passed = difference <= 1e-5
    return {
      kernel: 'norm',
      shape,
      dtype: 'float32',
      difference,
      bound: 1e-5,
      passed,
      where: 'y[3]',
      expected: 1,
      seen: 2,
      ...rest,
    }
  }
  const [fine, half] = kernelRows([result('1', 1e-7), result('2', 2e-6), result('1', 0, { dtype: 'bfloat16' })])
  t.like(fine, { what: 'norm', how: '2', cases: 2, difference: 2e-6, passed: true, failure: null })
  t.like(half, { dtype: 'bfloat16', cases: 1, difference: 0, passed: true })
  const [bad] = kernelRows([result('1', 1e-7), result('2', 1), result('3', Number.NaN, { where: 'no such kernel' })])
  t.like(bad, { how: '3', cases: 3, difference: null, passed: false })
  t.regex(bad!.failure!, /^2 failed\. 2: expected y\[3\] = 1 but received 2, 1\.0e\+0 apart .*; 3: no such kernel$/)
})
