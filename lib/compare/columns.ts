/**
 * The score columns of the paper's two tables (Liu et al., AAAI 2026, Tables 1 and 2). Writing components are ungated: each is
 * scored whether or not the levels before it were passed. Code components are the reward's levels, which need each other by
 * nature: a program without its entry point has neither syntax nor tests. The return is the task's own, gated reward.
 */
import type { TaskConfig } from '../config/load.ts'
import type { SandboxOptions } from '../sandbox/types.ts'
import type { CodeItem } from '../tasks/code/item.ts'
import type { CodeReward } from '../tasks/code/reward.ts'
import type { Task } from '../tasks/types.ts'
import {
  arxivThresholds,
  measureWriting,
  scoreMeasures,
  tldrThresholds,
  type WritingRules,
  type WritingThresholds,
} from '../tasks/writing/reward.ts'
import type { Column, ColumnScores, TableKind } from './types.ts'

/** What the task said of a joint completion. */
export interface Outcome {
  reward: number
  parts: Record<string, number>
}

/** Columns of one joint completion, and whether its program passed all tests. */
export interface MeasuredColumns {
  columns: ColumnScores
  passed: boolean | null
}

/** Scores joint completions for one table. */
export interface ColumnMeter {
  kind: TableKind
  /** Columns in the table's order; null where they are the parts of the task's reward, known only afterwards. */
  columns: Column[] | null
  /**
   * @param isAlone one model wrote it for a team of several agents: what needs a helper is not defined then
   */
  measure(
    item: unknown,
    texts: readonly string[],
    outcome: Outcome,
    isAlone: boolean,
    signal?: AbortSignal,
  ): Promise<MeasuredColumns>
  dispose(): Promise<void>
}

const percent = (name: string): Column => ({ name, title: name, unit: '%' })

/** Columns of Table 1 after speed and time. */
export const writingColumns: Column[] = ['structure', 'consistency', 'coherence', 'return'].map(percent)

/** Columns of Table 2 after speed and time. */
export const codeColumns: Column[] = ['structure', 'syntax', 'tests', 'cooperation', 'return'].map(percent)

/** The meter of a task, by its name in the configuration and its items. */
export function columnMeter(config: TaskConfig, task: Task): ColumnMeter {
  const name = 'name' in config ? config.name : task.name
  const options = ('options' in config ? (config.options ?? {}) : {}) as Record<string, unknown>
  const rules = options.rules === 'paper' ? 'paper' : 'strict'
  const thresholds = thresholdsOf(name, options)
  if (thresholds !== undefined && task.agents.length === 2) return writingMeter(thresholds, rules)
  const item = (task.items[0] ?? {}) as Record<string, unknown>
  if (!['prompt', 'test', 'entry_point'].every((field) => typeof item[field] === 'string')) return taskMeter(task)
  const sandbox = options.sandbox === 'process' ? { mode: 'process' as const } : {}
  return codeMeter({ rules, task, sandboxOptions: sandbox })
}

function thresholdsOf(name: string, options: Record<string, unknown>): WritingThresholds | undefined {
  if (name === 'tldr' || name === 'story') return tldrThresholds
  if (name === 'arxiv') return arxivThresholds[options.thresholds === 'current' ? 'current' : 'paper-time']
  return undefined
}

function writingMeter(thresholds: WritingThresholds, rules: WritingRules): ColumnMeter {
  return {
    kind: 'writing',
    columns: writingColumns,
    measure: async (_item, [first = '', second = ''], { reward }) => ({
      columns: { ...writingComponents(first, second, thresholds, rules), return: reward / 3 },
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
  rules: WritingRules,
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

interface CodeMeterOptions {
  rules: 'strict' | 'paper'
  task: Task
  sandboxOptions: SandboxOptions
}

/** The points of the code reward a share is of. */
const auxPoints = 0.4
const bonusPoints = 1.5

/**
 * Columns of the code reward from its parts. A task with another reward of its own (mini-code) is scored by the code reward
 * for the components; its return stays its own.
 */
function codeMeter({ rules, task, sandboxOptions }: CodeMeterOptions): ColumnMeter {
  let made: Promise<CodeReward> | undefined
  const makeReward = async () => {
    const { createCodeReward } = await import('../tasks/code/reward.ts')
    return createCodeReward({ rules, sandboxOptions, ...(task.name === 'mini-code' && { limits: miniLimits }) })
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
      const total = isTeam ? outcome.reward / (task.maxReward ?? 4) : null
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

/** Programs of mini-code are one-liners. */
const miniLimits = { cpuSeconds: 1, programCpuSeconds: 2, maxTimeouts: 1 }

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

function taskMeter({ maxReward }: Task): ColumnMeter {
  return {
    kind: 'task',
    columns: null,
    measure: async (_item, _texts, { reward, parts }) => ({
      columns: { ...parts, return: maxReward === undefined ? reward : reward / maxReward },
      passed: null,
    }),
    dispose: async () => {},
  }
}
