import type { Sampling } from '../model/types.ts'
import type { Task } from '../tasks/task/types.ts'
import type { Algorithm } from './options/algorithm.ts'
import type { Team } from './team/team.ts'
import type { OptimizerOptions } from './types/options.ts'
import type { RunSink } from './types/sink.ts'
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
