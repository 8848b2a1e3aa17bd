import test from 'ava'
import fc from 'fast-check'
import { type AdvantageSettings, groupAdvantages } from '../../lib/rl/credit/advantages.ts'
import { type AdvantageMode, advantageModes } from '../../lib/rl/options/algorithm.ts'

function settings(advantage: AdvantageMode, scaleByStd = false): AdvantageSettings {
  return { advantage, scaleByStd, equalRewardEps: 1e-6 }
}

function isClose(a: readonly number[], b: readonly number[], tolerance: number): boolean {
  return a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) <= tolerance)
}

for (const [mode, scaled, expected] of [
  ['mean', false, [-2, -1, 0, 3]],
  ['rloo', false, [-8 / 3, -4 / 3, 0, 4]],
  ['max', false, [-5, -4, -3, 0]],
  ['raw', false, [1, 2, 3, 6]],
  ['mean', true, [-1.0690449676, -0.5345224838, 0, 1.6035674514]],
] as const) {
  test(`worked numbers: ${mode}${scaled ? ', scaled' : ''}`, (t) => {
    const { advantages, isEqual } = groupAdvantages([1, 2, 3, 6], settings(mode, scaled))
    t.true(isClose(advantages, expected, 1e-9), String(advantages))
    t.false(isEqual)
  })
}

test('scaling makes all modes the same', (t) => {
  const [first, ...others] = advantageModes.map((mode) => groupAdvantages([0.1, 0.7, 0.2], settings(mode, true)))
  for (const other of others) t.true(isClose(other.advantages, first!.advantages, 1e-12))
})

test('equal returns have no advantage, except in raw mode', (t) => {
  const returns = [0.3, 0.3 + 1e-9, 0.3]
  for (const mode of ['mean', 'rloo', 'max'] as const) {
    t.deepEqual(groupAdvantages(returns, settings(mode)), { advantages: [0, 0, 0], isEqual: true })
  }
  t.deepEqual(groupAdvantages(returns, settings('raw')), { advantages: returns, isEqual: true })
  t.deepEqual(groupAdvantages(returns, settings('raw', true)), { advantages: [0, 0, 0], isEqual: true })
})

test('centred advantages add up to 0 and do not see a shift of all returns', (t) => {
  const returns = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 2, maxLength: 16 })
  fc.assert(
    fc.property(returns, fc.constantFrom('mean', 'rloo'), fc.integer({ min: -50, max: 50 }), (values, mode, shift) => {
      const { advantages, isEqual } = groupAdvantages(values, settings(mode as AdvantageMode))
      const shifted = groupAdvantages(
        values.map((value) => value + shift),
        settings(mode as AdvantageMode),
      )
      const total = advantages.reduce((sum, value) => sum + value, 0)
      return Math.abs(total) < 1e-9 * 1600 && (isEqual || isClose(advantages, shifted.advantages, 2e-6))
    }),
  )
  t.pass()
})
