/**
 * The score columns of the code tasks: Table 2 of Liu et al. (AAAI 2026). Components are the reward's levels, which need each
 * other by nature: a program without its entry point has neither syntax nor tests.
 */
import { type Column, type ColumnMeter, type ColumnScores, type Outcome, percentColumn } from '../task/columns.ts'
import type { CodeItem } from './item.ts'
import type { CodeReward, CodeRewardOptions } from './reward.ts'

/** Columns of Table 2 after speed and time. */
export const codeColumns: Column[] = ['structure', 'syntax', 'tests', 'cooperation', 'return'].map(percentColumn)

/** What {@link codeMeter} takes. */
interface CodeMeterOptions extends CodeRewardOptions {
  /** The task that was played. */
  task: { agents: readonly string[]; maxReward?: number }
}

/** The points of the code reward a share is of. */
const auxPoints = 0.4

const bonusPoints = 1.5

/**
 * Columns of the code reward from its parts. A task with another reward of its own (mini-code) is scored by the code reward
 * for the components; its return stays its own.
 */
export function codeMeter({ task, ...options }: CodeMeterOptions): ColumnMeter {
  let made: Promise<CodeReward> | undefined
  const makeReward = async () => {
    const { createCodeReward } = await import('./reward.ts')
    return createCodeReward(options)
  }
  const partsOf = async (item: CodeItem, texts: readonly string[], { parts }: Outcome, signal?: AbortSignal) => {
    if ('structure_main' in parts) return parts
    made ??= makeReward()
    return (await (await made).score(item, texts, signal)).parts
  }
  return {
    kind: 'code',
    columns: codeColumns,
    async measure(item, texts, outcome, isAlone, signal) {
      const parts = await partsOf(item as CodeItem, texts, outcome, signal)
      const isTeam = !isAlone && task.agents.length > 1
      const total = isTeam && outcome.reward !== null ? outcome.reward / (task.maxReward ?? 4) : null
      return {
        columns: { ...codeComponents(parts, isTeam), return: total },
        passed: parts.tests_total! > 0 && parts.tests_passed === parts.tests_total,
      }
    },
    async dispose() {
      await (await made?.catch(() => undefined))?.dispose()
    },
  }
}

/**
 * Structure, syntax, tests and cooperation as shares of their maxima, from the parts of the code reward.
 *
 * @param isTeam whether a helper was asked for; without one, structure is of the entry point's points and cooperation null
 */
export function codeComponents(parts: Record<string, number>, isTeam: boolean): ColumnScores {
  const { structure_aux = 0, structure_main = 0, syntax = 0, tests = 0 } = parts
  const { bonus_aux = 0, bonus_non_wrapper = 0, penalty_ignored = 0 } = parts
  return {
    structure: isTeam ? structure_aux + structure_main : structure_main / (1 - auxPoints),
    syntax: syntax / 0.5,
    tests,
    cooperation: isTeam ? (bonus_aux + bonus_non_wrapper + penalty_ignored) / bonusPoints : null,
  }
}
