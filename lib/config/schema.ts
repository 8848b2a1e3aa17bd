/**
 * The schema of a run's configuration. Keys and defaults are those of the TypeScript API ({@link TrainOptions} and what it holds),
 * so that a setting has one name everywhere.
 */
import { z } from 'zod'
import { choice, section } from '../base/validate.ts'
import {
  algorithmNames,
  criticPlacements,
  criticTypes,
  klEstimators,
  klPlaces,
  lengthNormalizations,
} from '../rl/options/algorithm.ts'
import { scheduleNames } from '../rl/options/schedule.ts'
import { choiceSchema } from './choice.ts'

const count = z.int().min(1)
const positive = z.number().positive()
const share = z.number().min(0).max(1)
const text = z.string().min(1)
const seed = z.int().min(0).max(0xff_ff_ff_ff)

const adapterSchema = section({
  rank: count.default(16),
  alpha: positive.optional(),
  targets: z.union([z.literal('all-linear'), z.array(text).min(1)]).default('all-linear'),
})

const teamSchema = section({
  agents: z.array(text).min(1).optional(),
  model: text.optional(),
  models: z.union([z.array(text).min(1), z.record(text, text)]).optional(),
  sharedWeights: z.boolean().optional(),
  critic: text.optional(),
  dtype: choice(['auto', 'float32', 'bfloat16']).default('auto'),
  device: z
    .string()
    .regex(/^(auto|cpu|cuda:\d+)$/, 'expected auto, cpu or cuda:N')
    .default('auto'),
  adapter: z.union([z.literal('full'), adapterSchema]).default({ rank: 16, targets: 'all-linear' }),
})

const samplingSchema = section({
  temperature: z.number().min(0).optional(),
  topK: z.int().min(0).optional(),
  topP: positive.max(1).optional(),
  minP: share.optional(),
  repetitionPenalty: positive.optional(),
  maxNewTokens: count.optional(),
  stopIds: z.array(z.int().min(0)).optional(),
  stop: z.array(text).optional(),
})

const optimizerSchema = section({
  learningRate: z.number().min(0),
  betas: z.tuple([share, share]).optional(),
  epsilon: positive.optional(),
  weightDecay: z.number().min(0).optional(),
  maxGradNorm: z.number().min(0).optional(),
  schedule: choice(scheduleNames).optional(),
  warmupSteps: z.int().min(0).optional(),
})

const clipSchema = section({ low: z.number().min(0).lt(1), high: z.number().min(0) })

const klSchema = section({
  estimator: choice(klEstimators).optional(),
  coefficient: z.number().min(0).optional(),
  as: choice(klPlaces).optional(),
})

const criticSchema = section({
  type: choice(criticTypes).optional(),
  placement: choice(criticPlacements).optional(),
  coefficient: z.number().min(0).optional(),
  clip: positive.nullable().optional(),
  hiddenSize: count.nullable().optional(),
  learningRate: z.number().min(0).nullable().optional(),
})

/** `advantage` may be set for the algorithms that leave it open; which key belongs to which, the algorithms check. */
const algorithmSchema = section({
  name: choice(algorithmNames).default('magrpo'),
  groupSize: count.optional(),
  jointMode: choice(['align', 'cross']).optional(),
  maxJointActions: count.optional(),
  advantage: choice(['mean', 'raw', 'max', 'rloo', 'td']).optional(),
  scaleByStd: z.boolean().optional(),
  crossCredit: choice(['mean', 'sum']).optional(),
  equalRewardEps: z.number().min(0).optional(),
  turns: count.optional(),
  discount: share.optional(),
  terminationThreshold: z
    .union([z.number(), z.literal('task')])
    .nullable()
    .optional(),
  lengthNormalization: choice(lengthNormalizations).optional(),
  lengthConstant: positive.nullable().optional(),
  maskTruncated: z.boolean().optional(),
  updatesPerRollout: count.optional(),
  clip: clipSchema.nullable().optional(),
  kl: klSchema.nullable().optional(),
  entropyCoefficient: z.number().min(0).optional(),
  critic: criticSchema.nullable().optional(),
})

/** The whole configuration; `task` and `trackers` are checked by the schemas of what they choose afterwards. */
export const configSchema = section({
  name: z
    .string()
    .regex(/^\w[\w.-]*$/, 'expected letters, digits, dots, dashes and underscores')
    .optional(),
  runDir: text.optional(),
  team: teamSchema,
  task: choiceSchema,
  algorithm: algorithmSchema.default({ name: 'magrpo' }),
  sampling: samplingSchema.default({}),
  optimizer: optimizerSchema,
  steps: count.optional(),
  epochs: positive.optional(),
  promptsPerStep: count.optional(),
  minibatches: count.optional(),
  maxTokensPerMicroBatch: count.optional(),
  activationCheckpointing: z.boolean().optional(),
  deterministic: z.boolean().optional(),
  seed: seed.default(0),
  shuffle: z.boolean().optional(),
  evalEvery: z.int().min(0).optional(),
  evalItems: count.optional(),
  evalSamples: count.optional(),
  evalGreedy: z.boolean().optional(),
  keepBest: z.boolean().optional(),
  checkpointEvery: z.int().min(0).optional(),
  keepCheckpoints: count.optional(),
  rewardTimeoutMs: positive.optional(),
  rewardConcurrency: count.optional(),
  pipelineDepth: z.int().min(0).optional(),
  logSamples: z.int().min(0).optional(),
  trackers: z.array(choiceSchema).default([]),
})

/** A configuration as the schema leaves it: defaults that need the task or the team are still open. */
export type RawConfig = z.infer<typeof configSchema>

/** Settings of the team. */
export type TeamConfig = RawConfig['team']
