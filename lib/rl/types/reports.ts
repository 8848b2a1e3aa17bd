import type { ChatMessage } from '../../text/messages.ts'
/** Metrics by `area/name`; only finite numbers. */
export type Metrics = Record<string, number>

/** What one agent wrote in a {@link SampleRow}. */
export interface AgentSample {
  name: string
  prompt: string | ChatMessage[]
  /** Empty for a model without tokenizer. */
  completion: string
  /** Number of token ids, the end token included. */
  tokens: number
  finish: 'stop' | 'length'
  /** Sum of the sampler's log-probabilities. */
  logProbSum: number
  /** Which of the agent's G samples this is. */
  sample: number
  /** Advantage of this completion; null in evaluations, and where it takes no part because rewards abstained. */
  advantage: number | null
}

/** One joint completion with all that was computed from it. */
export interface SampleRow {
  /** Step of training, or steps done before the evaluation. */
  step: number
  phase: 'train' | 'eval' | 'greedy'
  /** Index into `task.items`, or into `task.heldOut` in evaluations. */
  item: number
  /** Position of the item in its step or evaluation, from 0: tells the trees of an item apart that a step has twice. */
  slot: number
  /** Counted from 0. */
  turn: number
  /** Number of the node within its item's tree; 0 is the root. */
  node: number
  /** Which of the node's joint actions this is. */
  joint: number
  /** Null: the reward abstained; return and advantages are null then. */
  reward: number | null
  parts: Record<string, number>
  /** Why there is no more reward, where the reward says: for programs, why they failed. */
  reason?: string
  metrics: Record<string, number>
  /**
   * Discounted return from this joint action on; if nothing follows, `reward` and what `algorithm.ended` adds to it. In
   * evaluations `reward`.
   */
  return: number | null
  agents: AgentSample[]
}

/** One finished step. */
export interface StepReport {
  /** Counted from 1: so many steps are done. */
  index: number
  /** `reward/…`, `train/…`, `policy/…`, `critic/…`, `completion/…`, `task/…`; see `metrics.ts` for each name. */
  metrics: Metrics
  /** `time/…` in seconds and rates, `memory/…` in bytes: what no two runs share. */
  timings: Metrics
  samples: SampleRow[]
  /**
   * Texts of the warnings first raised in this step; each was also given to {@link RunSink.onWarning}. Those of trackers and of the
   * run's report are given to that alone.
   */
  warnings: string[]
}

/** An evaluation that begins. */
export interface EvalStart {
  /** Steps done before it. */
  index: number
  /** Held-out items it plays. */
  items: number
}

/** One evaluation on held-out items. */
export interface EvalReport {
  /** Steps done before it. */
  index: number
  /** What the best is chosen by: `eval/reward/mean`, or `eval/greedy/reward/mean` without samples. NaN: all rewards abstained. */
  score: number
  /** `eval/` and the name used in training (`eval/reward/mean`); `eval/greedy/…` at temperature 0. */
  metrics: Metrics
  /** `time/eval_s`. */
  timings: Metrics
  samples: SampleRow[]
}

/** Something the user should act on; each code is raised once per run, `tracker` for each tracker that fails. */
export interface RunWarning {
  code:
    | 'length_limit'
    | 'equal_rewards'
    | 'non_finite_gradient'
    | 'cancelled_baseline'
    | 'early_termination'
    | 'punished_end'
    | 'long_prompts'
    | 'context_limit'
    | 'tracker'
    | 'report'
    | 'memory'
    | 'pipeline'
  /** Step in which it was raised; 0 before the first. */
  index: number
  message: string
}

/** What a watch has seen, as plain JSON. */
export interface WatchState {
  raised: RunWarning['code'][]
  window: Window
}

/** What is seen of the steps since shares were last judged. */
export interface Window {
  groups: { isEqual: boolean; isBest: boolean }[]
  /** `isByContext`: cut off before `maxNewTokens`; missing in older checkpoints. */
  completions: { isTruncated: boolean; isByContext?: boolean }[]
  /** Mean rewards of first turns. */
  firstTurns: number[]
}
