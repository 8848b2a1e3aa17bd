/** The score columns of the writing tasks: Table 1 of Liu et al. (AAAI 2026). The return is the task's own, gated reward. */
import { type Column, type ColumnMeter, percentColumn } from '../task/columns.ts'
import type { Rules } from '../task/options.ts'
import { measureWriting, scoreMeasures, type WritingThresholds } from './reward.ts'

/** Columns of Table 1 after speed and time. */
export const writingColumns: Column[] = ['structure', 'consistency', 'coherence', 'return'].map(percentColumn)

/** The meter of the writing tasks. Components are ungated: each is scored whether or not the levels before it were passed. */
export function writingMeter(thresholds: WritingThresholds, rules: Rules): ColumnMeter {
  return {
    kind: 'writing',
    columns: writingColumns,
    measure: async (_item, [first = '', second = ''], { reward }) => ({
      columns: { ...writingComponents(first, second, thresholds, rules), return: reward === null ? null : reward / 3 },
      passed: null,
    }),
    dispose: async () => {},
  }
}

/**
 * Structure, consistency and coherence of two texts as shares of their maxima (2.0, 0.6 and 0.4 points), none of them gated.
 */
export function writingComponents(
  first: string,
  second: string,
  thresholds: WritingThresholds,
  rules: Rules,
): { structure: number; consistency: number; coherence: number } {
  const measured = measureWriting(first, second, thresholds.transitionsIn, rules)
  const [min] = thresholds.words
  // Each gate before a level is opened by a value that passes it in full.
  const open = {
    words: [min, min] as [number, number],
    lengthRatio: thresholds.lengthRatio.full[0],
    unique: [1, 1] as [number, number],
    uniqueRatio: thresholds.uniqueRatio.full[0],
  }
  const { words, lengthRatio, unique, uniqueRatio } = measured
  const level = (values: Partial<typeof measured>) =>
    scoreMeasures({ ...measured, ...open, ...values }, thresholds).parts
  const style = level({})
  const points =
    level({ words }).structure + level({ lengthRatio }).length_ratio + level({ unique, uniqueRatio }).unique_ratio
  return { structure: points / 2, consistency: style.consistency / 0.6, coherence: style.coherence / 0.4 }
}
