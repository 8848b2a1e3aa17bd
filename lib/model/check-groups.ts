/** The form of what a pass over groups takes: the groups, and the terms of the loss. */
import { argumentError, expectList, expectObject } from '../base/arguments.ts'
import { number } from '../base/fields.ts'
import { choice, type FieldsOf, section } from '../base/validate.ts'
import type { LossOptions } from './types.ts'

const lossShape = {
  clip: section({ low: number({ from: 0 }), high: number({ from: 0 }) }).optional(),
  kl: section({ estimator: choice(['k1', 'k2', 'k3']), coefficient: number() }).optional(),
  entropyCoefficient: number().optional(),
} satisfies FieldsOf<LossOptions>

/** Fields of {@link LossOptions}. */
export const lossSection = section(lossShape)

/** @throws MagrpoError `ERR_ARGUMENT` naming what has not the form of a `ScoredGroup`, its policy apart */
export function checkGroups(groups: unknown): void {
  expectList(groups, 'groups')
  for (const [number, given] of groups.entries()) {
    const where = `group ${number}`
    expectObject(given, where)
    const group = given as { promptIds?: unknown; completions?: unknown }
    expectIds(group.promptIds, `promptIds of ${where}`)
    expectList(group.completions, `completions of ${where}`)
    for (const [index, entry] of group.completions.entries()) {
      const which = `completion ${index} of ${where}`
      expectObject(entry, which)
      const completion = entry as Record<string, unknown>
      expectIds(completion.ids, `ids of ${which}`)
      for (const name of rows) {
        const row = completion[name]
        if (row !== undefined && !(row instanceof Float32Array))
          throw argumentError('a Float32Array', `${name} of ${which}`, row)
      }
    }
  }
}

const rows = ['weights', 'oldLogProbs', 'referenceLogProbs', 'penaltyWeights']

function expectIds(value: unknown, what: string): void {
  if (!(value instanceof Int32Array)) throw argumentError('an Int32Array of token ids', what, value)
}
