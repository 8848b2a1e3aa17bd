/** What a comparison records and what it says. Plain JSON throughout. */

import type { BaselineName } from '../../tasks/task/baselines.ts'
import type { Column, ColumnScores, TableKind } from '../../tasks/task/columns.ts'
import type { ChatMessage } from '../../text/messages.ts'
import type { Estimate } from './statistics.ts'

/** One line of `samples.jsonl`: one joint completion of one method. */
export interface ComparisonSample {
  method: string
  seed: number
  /** Index into the items compared on. */
  item: number
  sample: number
  /** Counted from 0. */
  turn: number
  /** Everything that was generated for it, in order. */
  said: SaidText[]
  /** What was scored, one text an agent of the task. */
  texts: string[]
  /** Null: the reward abstained. */
  reward: number | null
  parts: Record<string, number>
  metrics: Record<string, number>
  columns: ColumnScores
  /** Whether all tests passed; null for tasks without tests. */
  passed: boolean | null
  /** Single models: whether the answer could be taken apart as asked. */
  divided?: boolean
  /** Single models: the answer was taken apart by the task's fallback where it had to be. */
  cut?: true
}

/** One generated text. */
export interface SaidText {
  agent: string
  round: number
  prompt: string | ChatMessage[]
  completion: string
  tokens: number
  finish: 'stop' | 'length'
}

/** Name of the row that scores a single model's answers as cut by the task's fallback. */
export const cutName = (method: string) => `${method}, cut`

/** One line of `timings.jsonl`: one item generated alone, see {@link Comparison.about}. */
export interface ComparisonTiming {
  method: string
  seed: number
  item: number
  /** Wall seconds of all generation calls of one joint completion, turns and rounds added up. */
  seconds: number
  /** Tokens generated in them, by all agents. */
  tokens: number
}

/** One row of the tables. */
export interface MethodSummary {
  name: string
  /** Tokens a second of all agents together, one item at a time. */
  speed: Estimate | null
  /** Seconds from the prompts to the last token, one item at a time. */
  time: Estimate | null
  /** By name of {@link Column}; null where it is not defined for the method. */
  columns: Record<string, Estimate | null>
  /** pass@k by k; empty for tasks without tests. */
  passAt: Record<string, Estimate>
  /** Share of answers of a single model that could be taken apart as asked; null for other methods. */
  divided: Estimate | null
  /** Means of the task's metrics. */
  metrics: Record<string, Estimate>
  /** Mean number of tokens generated for a joint completion, by all agents, turns and rounds added up. */
  tokens: Estimate | null
}

/** How one method came about, for records. */
export interface MethodAbout {
  name: string
  /** `team`: the task as the team plays it in training. */
  play: BaselineName | 'team'
  turns: number
  /** Where the weights come from: `trained here`, a run folder, or the models. */
  weights: string
  /** Name of the method this one is another scoring of. */
  scoringOf?: string
}

/** What was compared. */
export interface ComparisonAbout {
  name: string
  task: string
  kind: TableKind
  /** Of the task; null where its reward has no bound. */
  maxReward: number | null
  items: number
  /** Whether the items were held out of training. */
  heldOut: boolean
  samples: number
  seeds: number[]
  timedItems: number
  /** Prefixes of the task metrics that get a table. */
  shownMetrics: string[]
  methods: MethodAbout[]
}

/** A whole comparison. */
export interface Comparison {
  about: ComparisonAbout
  columns: Column[]
  methods: MethodSummary[]
}
