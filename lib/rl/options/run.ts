/** Settings of a run and of an evaluation that are plain values: their meaning, defaults and bounds. */
import type { z } from 'zod'
import { flag, integer, milliseconds, number, seed } from '../../base/fields.ts'
import { choice, section } from '../../base/validate.ts'
import { settingsOfSampling, settingsOfSections } from './elsewhere.ts'

/** How rewards are called, in training, evaluations and comparisons. */
export const rewardCallShape = {
  /**
   * Time limit of one reward call, milliseconds; waiting for a sandbox worker counts. Defaults to what the task asks for, else to
   * `120000`. Tasks of programs, and rewards in Python, ask for none: each program and each Python call has limits of its own.
   */
  rewardTimeoutMs: milliseconds().optional(),
  /** Reward calls under way at once. Defaults to `16`. */
  rewardConcurrency: integer({ from: 1 }).default(16),
}

/** Most completions generated in one batch of an evaluation. */
export const maxRows = integer({ from: 1 }).default(256)

/** Fields of {@link RunOptions}. */
export const runShape = {
  /** Optimizer steps of the run. */
  steps: integer({ from: 1 }).optional(),
  /** Passes over `task.items` (may be a fraction), instead of `steps`. */
  epochs: number({ above: 0 }).optional(),
  /** Items per step. Defaults to `1`, as in the paper. */
  promptsPerStep: integer({ from: 1 }).default(1),
  /**
   * Pieces the update of a step is computed in, cut between groups in their order; the gradient is the same up to rounding. Defaults
   * to `1`.
   */
  minibatches: integer({ from: 1 }).default(1),
  /**
   * Most tokens of one forward and backward pass; passes are cut between groups. Gradients of float32 weights are the same within 1e-6,
   * those of bfloat16 weights within its rounding. Defaults to 2,048, shared evenly by the policies of a model.
   */
  maxTokensPerMicroBatch: integer({ from: 1 }).optional(),
  /**
   * Compute each layer again in the backward pass instead of keeping what it made: about a third more time for a fraction of
   * the memory of activations. Defaults to `false`.
   */
  activationCheckpointing: flag().default(false),
  /**
   * Samples and gradients that are the same bit for bit for any order of prompts in a batch and any size of micro-batches:
   * prompts are read and trained on one by one, which is slower. On the CPU only. Runs on one machine repeat without it. Defaults to
   * `false`.
   */
  deterministic: flag().default(false),
  /** Everything random is a function of it. Integer from 0 to 2³²-1. Defaults to `0`. */
  seed: seed().default(0),
  /** New order of items in each epoch. Defaults to `true`. */
  shuffle: flag().default(true),
  /** Evaluate before the first step, after every so many steps, and at the end. Defaults to `0`: never. */
  evalEvery: integer({ from: 0 }).default(0),
  /** How many of `task.heldOut`, from the first on. Defaults to `64`. */
  evalItems: integer({ from: 1 }).default(64),
  /** Sampled joint completions per item. Defaults to `1`. */
  evalSamples: integer({ from: 1 }).default(1),
  /** Also evaluate at temperature 0. Defaults to `true`. */
  evalGreedy: flag().default(true),
  /** Let the sinks keep the weights that are best by {@link EvalReport.score}. Defaults to `true`. */
  keepBest: flag().default(true),
  /**
   * What is done with prompts that leave no room for an answer in the model's context. `refuse`: nothing begins, and all such items are
   * named. `skip`: these items are left out; a later turn that is too long ends its branch. `cut`: a prompt that leaves less than
   * `sampling.maxNewTokens` loses the middle of its text, marked by ` … `, until it leaves so much; both ends stay, since what is
   * asked stands at the beginning or at the end. Of chat messages the user's longest is cut. Defaults to `refuse`.
   */
  longPrompts: choice(['refuse', 'skip', 'cut']).default('refuse'),
  ...rewardCallShape,
  /**
   * Steps whose completions may be generated ahead of the update, while rewards are awaited: for rewards that take long. Samples
   * of a step are then of weights so many updates old, so give the algorithm a `clip`. Each of these
   * steps may have `rewardConcurrency` calls under way. Single turns only, and a resumed run is not
   * to the byte what it would have been. Defaults to `0`: each step's samples are of the weights that it moves (on-policy).
   */
  pipelineDepth: integer({ from: 0 }).default(0),
  /** Groups per step (and items per evaluation) whose samples are reported in full. Defaults to `1`. */
  logSamples: integer({ from: 0 }).default(1),
}

/** Keys of `train` besides {@link runShape}. */
const trainKeys = [
  'team',
  'task',
  'algorithm',
  'sampling',
  'optimizer',
  'sinks',
  'signal',
  'runDir',
  'resume',
  'trackers',
]
const recordKeys = ['checkpointEvery', 'keepCheckpoints', 'onWarning']

/** See {@link RunOptions}. */
export const runSection = section(runShape, { known: [...trainKeys, ...recordKeys], elsewhere: settingsOfSections })

/** Plain settings of a run. Unset fields take the defaults named here. */
export interface RunOptions extends z.input<typeof runSection> {}

/** See `RunOptions.longPrompts`. */
export type LongPrompts = z.output<typeof runSection>['longPrompts']

/** {@link RunOptions} with every default filled in. */
export interface ResolvedRunOptions extends z.output<typeof runSection> {}

const evaluationShape = {
  /** Sampled joint completions per item; j-th meets j-th. Defaults to `1`; `0` leaves sampling out. */
  samples: integer({ from: 0 }).default(1),
  /** Also one joint completion per item at temperature 0. Defaults to `true`. */
  greedy: flag().default(true),
  /** Turns of an episode: each joint completion is followed along one path. Defaults to `1`. */
  turns: integer({ from: 1 }).default(1),
  /** Equal seeds give equal random numbers, whatever was trained before. Defaults to `0`. */
  seed: seed().default(0),
  /** Most completions generated in one batch. Defaults to `256`. */
  maxRows,
  /** See `RunOptions.longPrompts`; `eval/skipped_items` counts those that are skipped. Defaults to `refuse`. */
  longPrompts: runShape.longPrompts,
  ...rewardCallShape,
  /** Items whose samples are reported in full. Defaults to `1`. */
  logSamples: runShape.logSamples,
}

/** See {@link EvaluationOptions}. */
export const evaluationSection = section(evaluationShape, {
  known: ['team', 'task', 'items', 'sampling', 'onProgress', 'signal'],
  elsewhere: settingsOfSampling,
})

/** Plain settings of an evaluation. Unset fields take the defaults named here. */
export interface EvaluationOptions extends z.input<typeof evaluationSection> {}
