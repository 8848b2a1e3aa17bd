import test from 'ava'
import { learningRateAt } from '../../lib/rl/options/schedule.ts'

const rates = (name: 'constant' | 'linear' | 'cosine', warmupSteps: number, totalSteps: number) =>
  Array.from({ length: totalSteps }, (_, step) => learningRateAt({ name, peak: 1, warmupSteps, totalSteps }, step + 1))

test('constant stays, linear falls in equal steps', (t) => {
  t.deepEqual(rates('constant', 0, 3), [1, 1, 1])
  t.deepEqual(rates('linear', 0, 4), [1, 0.75, 0.5, 0.25])
})

test('warm-up rises to the full rate, which the next step has too', (t) => {
  t.deepEqual(rates('linear', 2, 4), [0.5, 1, 1, 0.5])
  t.deepEqual(rates('constant', 4, 4), [0.25, 0.5, 0.75, 1])
})

test('cosine: half the rate in the middle, never 0', (t) => {
  const [first, , third, last] = rates('cosine', 0, 4)
  t.is(first, 1)
  t.true(Math.abs(third! - 0.5) < 1e-12)
  t.true(last! > 0)
})
