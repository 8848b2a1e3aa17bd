/**
 * What a training run takes, reports and is recorded through. Plain data: nothing here knows of files, terminals or
 * tensors. Whoever records or shows a run implements {@link RunSink}.
 */
import type { Sampling, StepOptions } from '../model/types.ts'
import type { ChatMessage, Task } from '../tasks/types.ts'
import type { Algorithm } from './algorithm-options.ts'
import type { ScheduleName } from './schedule.ts'
import type { Team } from './team.ts'
import type { WatchState } from './warnings.ts'

/** AdamW's settings and how the learning rate moves over the run. */
export interface OptimizerOptions extends StepOptions {
  /** How the learning rate goes: `linear` and `cosine` fall to 0 at the end of the run. Defaults to `constant`. */
  schedule?: ScheduleName
  /** Steps over which the learning rate rises linearly to its full value. Defaults to `0`. */
  warmupSteps?: number
}

/** What {@link train} takes. Give `steps` or `epochs`, not both. */
export interface TrainOptions<Item = unknown> {
  /** Who learns; `team.agents[i]` plays `task.agents[i]`, names included. */
  team: Team
  task: Task<Item>
  /** Defaults to `magrpo()`. */
  algorithm?: Algorithm
  /**
   * Fields left out come from `task.defaults`, then from {@link Sampling}. The gradient is that of the full distribution
   * at temperature 1, as in the paper, whatever was sampled from: it is exact for the default sampling.
   */
  sampling?: Sampling
  optimizer: OptimizerOptions
  /** Optimizer steps of the run. */
  steps?: number
  /** Passes over `task.items` (may be a fraction), instead of `steps`. */
  epochs?: number
  /** Items a step. Defaults to `1`, as in the paper. */
  promptsPerStep?: number
  /**
   * Pieces the update of a step is computed in, cut between groups in their order; the gradient is the same up to rounding. Defaults
   * to `1`.
   */
  minibatches?: number
  /**
   * Most tokens of one forward and backward pass; passes are cut between groups. Gradients of float32 weights are the same within 1e-6,
   * those of bfloat16 weights within its rounding. Defaults to 2,048, shared evenly by the policies of a model.
   */
  maxTokensPerMicroBatch?: number
  /**
   * Compute each layer again in the backward pass instead of keeping what it made: about a third more time for a fraction of
   * the memory of activations. Defaults to `false`.
   */
  activationCheckpointing?: boolean
  /**
   * Samples and gradients that are the same bit for bit for any order of prompts in a batch and any size of micro-batches:
   * prompts are read and trained on one by one, which is slower. On the CPU only. Runs on one machine repeat without it. Defaults to
   * `false`.
   */
  deterministic?: boolean
  /** Everything random is a function of it. Integer from 0 to 2³²-1. Defaults to `0`. */
  seed?: number
  /** New order of items in each epoch. Defaults to `true`. */
  shuffle?: boolean
  /** Evaluate before the first step, after every so many steps, and at the end. Defaults to `0`: never. */
  evalEvery?: number
  /** How many of `task.heldOut`, from the first on. Defaults to `64`. */
  evalItems?: number
  /** Sampled joint completions an item. Defaults to `1`. */
  evalSamples?: number
  /** Also evaluate at temperature 0. Defaults to `true`. */
  evalGreedy?: boolean
  /** Let the sinks keep the weights that are best by {@link EvalReport.score}. Defaults to `true`. */
  keepBest?: boolean
  /**
   * Time limit of one reward call, milliseconds; waiting for a sandbox worker counts. Defaults to what the task asks for, else to
   * `120000`. Tasks of programs, and rewards in Python, ask for none: each program and each Python call has limits of its own.
   */
  rewardTimeoutMs?: number
  /** Reward calls under way at once. Defaults to `16`. */
  rewardConcurrency?: number
  /**
   * Steps whose completions may be generated ahead of the update, while rewards are awaited: for rewards that take long. Samples
   * of a step are then of weights so many updates old, so give the algorithm a `clip`. Each of these
   * steps may have `rewardConcurrency` calls under way. Single turns only, and a resumed run is not
   * to the byte what it would have been. Defaults to `0`: each step's samples are of the weights that it moves (on-policy).
   */
  pipelineDepth?: number
  /** Groups a step (and items an evaluation) whose samples are reported in full. Defaults to `1`. */
  logSamples?: number
  /** Who records or shows the run; called one after the other, each awaited. */
  sinks?: readonly RunSink[]
  /** Aborting it rejects the run with its reason; the step under way is dropped. */
  signal?: AbortSignal
}

/** The options of a run with every default filled in; plain JSON (`sampling.stopIds` is left out where unset). */
export interface ResolvedTrainOptions {
  task: {
    name: string
    agents: string[]
    items: number
    heldOut: number
    maxReward: number | null
    minReward: number | null
  }
  team: AgentSummary[]
  algorithm: Algorithm & { terminationThreshold: number | null }
  sampling: Sampling & Required<Omit<Sampling, 'stopIds' | 'stop'>>
  optimizer: Required<OptimizerOptions>
  /** Number of steps the run takes. */
  steps: number
  /** Passes over the items; null where `steps` was given. */
  epochs: number | null
  promptsPerStep: number
  minibatches: number
  maxTokensPerMicroBatch: number | null
  activationCheckpointing: boolean
  deterministic: boolean
  seed: number
  shuffle: boolean
  evalEvery: number
  evalItems: number
  evalSamples: number
  evalGreedy: boolean
  keepBest: boolean
  /** null: rewards end by themselves. */
  rewardTimeoutMs: number | null
  rewardConcurrency: number
  pipelineDepth: number
  logSamples: number
}

/** One agent, for records. */
export interface AgentSummary {
  name: string
  /** Number of its policy in the team; agents with equal numbers share weights. */
  policy: number
  kind: 'base' | 'full' | 'lora'
  /** Trainable parameters. */
  parameterCount: number
  /** Where its model came from. */
  source: string
}

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
  /** Advantage of this completion; null in evaluations. */
  advantage: number | null
}

/** One joint completion with all that was computed from it. */
export interface SampleRow {
  /** Step of training, or steps done before the evaluation. */
  step: number
  phase: 'train' | 'eval' | 'greedy'
  /** Index into `task.items`, or into `task.heldOut` in evaluations. */
  item: number
  /** Counted from 0. */
  turn: number
  /** Number of the node within its item's tree; 0 is the root. */
  node: number
  /** Which of the node's joint actions this is. */
  joint: number
  reward: number
  parts: Record<string, number>
  /** Why there is no more reward, where the reward says: for programs, why they failed. */
  reason?: string
  metrics: Record<string, number>
  /** Discounted return from this joint action on; equals `reward` where nothing follows. */
  return: number
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
  /** Texts of the warnings first raised in this step; each was also given to {@link RunSink.onWarning}. */
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
  /** What the best is chosen by: `eval/reward/mean`. */
  score: number
  /** `eval/` and the name used in training (`eval/reward/mean`); `eval/greedy/…` at temperature 0. */
  metrics: Metrics
  /** `time/eval_s`. */
  timings: Metrics
  samples: SampleRow[]
}

/** Something the user should act on; each code is raised once a run, `tracker` for each tracker that fails. */
export interface RunWarning {
  code:
    | 'length_limit'
    | 'equal_rewards'
    | 'non_finite_gradient'
    | 'cancelled_baseline'
    | 'early_termination'
    | 'tracker'
    | 'report'
    | 'memory'
    | 'pipeline'
  /** Step in which it was raised; 0 before the first. */
  index: number
  message: string
}

/** Writes all agents' weights, one folder an agent, while training waits. */
export type SaveTeam = (directory: string) => Promise<void>

/**
 * Where a run stands between two steps: all that it goes on from besides weights and moments. Plain JSON. Orders of items, random
 * numbers and learning rates are functions of the step, so that no further counters exist.
 */
export interface RunState {
  /** Steps done. */
  step: number
  skippedSteps: number
  /** Wall time so far. */
  seconds: number
  best: EvalReport | null
  /** The last evaluation; the one that is due after `step` is still to come if its `index` is smaller. */
  last: EvalReport | null
  warnings: WatchState
}

/** A moment between two steps at which a run can be taken up again. */
export interface Snapshot {
  state: RunState
  /**
   * Writes weights and moments of all policies that are trained, critics included, as files into a folder that exists. They are
   * those at the time of the call, which returns at once; training may go on while the promise is pending.
   */
  write(directory: string): Promise<void>
}

/** How a run ended. */
export interface RunEnd {
  /** `finished`: all steps; `stopped`: by `run.stop()` or by leaving the loop; `aborted`: the signal; `failed`: an error. */
  reason: 'finished' | 'stopped' | 'aborted' | 'failed'
  /** Steps done; the weights are those after the last of them. */
  steps: number
  /** Wall time of the run. */
  seconds: number
  best: EvalReport | null
  last: EvalReport | null
  /** The error of `aborted` and `failed`. */
  error?: unknown
}

/** What `run.result` resolves to. */
export type RunResult = RunEnd & { reason: 'finished' | 'stopped' }

/**
 * Through which a run is recorded or shown. Calls come in the order of the run, one at a time, and are awaited;
 * an error thrown by one ends the run. Weights do not change during a call.
 */
export interface RunSink {
  /** Before any work. */
  onStart?(options: ResolvedTrainOptions): void | Promise<void>
  /** After each step. */
  onStep?(report: StepReport): void | Promise<void>
  /** Before an evaluation, which may take long. */
  onEvalStart?(start: EvalStart): void | Promise<void>
  /** After each evaluation. */
  onEval?(report: EvalReport): void | Promise<void>
  /** The evaluation just reported is the best so far; only with `keepBest`. The one before training counts too. */
  onBest?(report: EvalReport, save: SaveTeam): void | Promise<void>
  /** When a warning is raised. */
  onWarning?(warning: RunWarning): void | Promise<void>
  /** After each step with all that belongs to it: nothing that was reported before comes again if a run is taken up here. */
  onSnapshot?(snapshot: Snapshot): void | Promise<void>
  /**
   * Always the last call, also after an error; the weights to save are those of the last full step in every case.
   *
   * @param snapshot null where there is none: an error came while the optimizer moved
   */
  onEnd?(end: RunEnd, save: SaveTeam, snapshot: Snapshot | null): void | Promise<void>
}
