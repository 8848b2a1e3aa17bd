/**
 * Group-relative advantages: Liu et al. (AAAI 2026), equation 1, and the other baselines of the published family.
 * A group is the G returns of one agent at one node; baselines never reach across nodes or items.
 */

import { argumentError, expectList } from '../../base/arguments.ts'
import { flag, number } from '../../base/fields.ts'
import { largest, mean, populationStd, present, smallest, sum } from '../../base/statistics.ts'
import { choice, type FieldsOf, resolve, section } from '../../base/validate.ts'
import { type AdvantageMode, advantageModes } from '../options/algorithm.ts'

/** How advantages are made from returns. */
export interface AdvantageSettings {
  advantage: AdvantageMode
  /** Centre and divide by the group's standard deviation; all modes are the same then, `raw` included. */
  scaleByStd: boolean
  /** Groups whose returns differ by less have no signal. */
  equalRewardEps: number
}

const advantageSection = section({
  advantage: choice(advantageModes),
  scaleByStd: flag(),
  equalRewardEps: number({ from: 0 }),
} satisfies FieldsOf<AdvantageSettings>)

/** A group's advantages. */
export interface GroupAdvantages {
  /** (G) */
  advantages: number[]
  /** The returns differ by less than `equalRewardEps`; advantages are then exactly 0, except in unscaled `raw` mode. */
  isEqual: boolean
}

/** Smallest standard deviation divided by, as in the published code. */
export const stdFloor = 1e-6

/**
 * Advantages of one group.
 *
 * Differences below `equalRewardEps` are treated as equal because scaling would blow rounding errors up to advantages
 * of about 1.
 *
 * @param returns (G)
 * @example groupAdvantages([1, 2, 3, 6], { advantage: 'mean', scaleByStd: false, equalRewardEps: 1e-6 }).advantages
 * // [-2, -1, 0, 3]
 */
export function groupAdvantages(returns: readonly number[], settings: AdvantageSettings): GroupAdvantages {
  expectList(returns, 'returns of groupAdvantages')
  for (const value of returns) if (typeof value !== 'number') throw argumentError('a number', 'a return', value)
  resolve(advantageSection, settings, 'The settings of groupAdvantages')
  const isEqual = largest(returns) - smallest(returns) < settings.equalRewardEps
  if (isEqual && (settings.advantage !== 'raw' || settings.scaleByStd)) {
    return { advantages: returns.map(() => 0), isEqual }
  }
  const advantages = subtractBaseline(returns, settings.advantage)
  return { advantages: settings.scaleByStd ? standardize(advantages) : advantages, isEqual }
}

/**
 * Advantages of a group in which rewards may have abstained: those of the others among themselves, and null for the rest. A single
 * return has no baseline in the group, so that the group is skipped, unless its advantages are the returns themselves (`raw`).
 *
 * @param returns (G) null where rewards abstained
 */
export function presentAdvantages(
  returns: readonly (number | null)[],
  settings: AdvantageSettings,
): { advantages: (number | null)[]; isEqual: boolean } {
  const there = present(returns)
  if (there.length === returns.length) return groupAdvantages(there, settings)
  const needed = settings.advantage === 'raw' && !settings.scaleByStd ? 1 : 2
  if (there.length < needed) return { advantages: returns.map(() => null), isEqual: true }
  const { advantages, isEqual } = groupAdvantages(there, settings)
  let next = 0
  return { advantages: returns.map((value) => (value === null ? null : advantages[next++]!)), isEqual }
}

function subtractBaseline(returns: readonly number[], mode: AdvantageMode): number[] {
  if (mode === 'raw') return [...returns]
  if (mode === 'rloo') {
    const total = sum(returns)
    return returns.map((value) => value - (total - value) / (returns.length - 1))
  }
  const baseline = mode === 'mean' ? mean(returns) : largest(returns)
  return returns.map((value) => value - baseline)
}

function standardize(advantages: readonly number[]): number[] {
  const centre = mean(advantages)
  const scale = Math.max(populationStd(advantages), stdFloor)
  return advantages.map((value) => (value - centre) / scale)
}
