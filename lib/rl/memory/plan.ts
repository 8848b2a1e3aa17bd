/** How much memory a run takes at its peak, before it begins: an upper estimate by device and by part. */
import { sum } from '../../base/statistics.ts'
import {
  type ActivationSettings,
  activationBytesPerToken,
  cacheBytesPerToken,
  generationBytes,
  logitBytes,
  type MemoryShape,
  tokensOfPass,
} from '../../model/memory-terms.ts'
import type { MomentKind } from '../../model/step-options.ts'

/** A loaded model, as far as its memory goes. */
interface PlannedModel {
  shape: MemoryShape
  dtype: ActivationSettings['dtype']
  device: string
  weightBytes: number
  contextLength: number
  /** Passes over this model that run at the same time, on a thread each. */
  passesAtOnce: number
}

/** A policy that is trained, critics included. */
export interface PlannedPolicy {
  /** Index into `models`. */
  model: number
  kind: 'full' | 'lora'
  /** Trainable weights, a value head's included. */
  parameters: number
  /** Bytes of the optimizer's moments. */
  momentBytes: number
  /** Bytes of the moments and masters of its largest tensor, which an offloaded step has on the device twice. */
  stagedBytes: number
  /** Of an adapter. */
  rank: number
}

/** What a run computes, as far as its memory goes. */
export interface Workload {
  models: PlannedModel[]
  policies: PlannedPolicy[]
  /** One per agent: the model it plays with, whether it is trained, and the longest prompt of its first turn, in tokens. */
  agents: { model: number; isTrained: boolean; promptTokens: number }[]
  promptsPerStep: number
  groupSize: number
  /** Joint actions of a node: the nodes that each node of one turn has in the next. */
  joints: number
  turns: number
  maxNewTokens: number
  /** Bytes of the sets of tokens that a sampler's filters kept, per token and by model; see `keptBytesPerToken`. */
  keptBytes: readonly number[]
  /** Null: the default. */
  maxTokensPerMicroBatch: number | null
  minibatches: number
  /** Gradients of each trained weight that exist at once: one, or the partial sums of slots; see `gradientCopies`. */
  gradientCopies: number
  checkpointing: boolean
  /** What the optimizer keeps its moments in. */
  moments: MomentKind
  /** Processes of the run, and whether moments and masters are spread over them. */
  ranks: number
  sharded: boolean
  /** Whether moments and masters are in the host's memory, whatever the device. */
  offload: boolean
  /** Items and samples of one batch of an evaluation; items are 0 where there is none. */
  evaluation: { items: number; samples: number }
  /** Models that are trained side by side, a thread each: their activations exist together. */
  sideBySide: number
  /** What the process takes without weights: Node, libtorch, tokenizers, data. */
  processBytes: number
}

/** What memory is taken by. */
export type MemoryPartName =
  | 'process'
  | 'weights'
  | 'masters'
  | 'moments'
  | 'staging'
  | 'gradients'
  | 'cache'
  | 'decoding'
  | 'kept'
  | 'activations'
  | 'logits'

/** One part of a plan. */
export interface MemoryPart {
  name: MemoryPartName
  bytes: number
  /** When it exists: always, or while the run generates or trains. The peak is that of the larger of both phases. */
  during: 'always' | 'generation' | 'training'
}

/** What one device holds. */
export interface DeviceMemory {
  device: string
  parts: MemoryPart[]
  /** Bytes of the larger phase. */
  peakBytes: number
  peak: 'generation' | 'training'
}

/** The memory of a run. */
export interface MemoryPlan {
  devices: DeviceMemory[]
  /** Completions that one batch decodes, and tokens of one forward and backward pass, at most. */
  rows: number
  passTokens: number
  /** Longest prompt in tokens, as the plan expects it in the last turn. */
  promptTokens: number
  /** What advice depends on, see `adviceFor`. */
  facts: {
    /** Tokens of the largest prompt with its completions. */
    groupTokens: number
    /** The largest batch that is generated is one of an evaluation. */
    isEvaluation: boolean
    /** All weights of an agent are trained. */
    isFull: boolean
    promptsPerStep: number
    /** Later turns have more nodes than the first. */
    grows: boolean
    checkpointing: boolean
    moments: MomentKind
    /** Moments and masters could be spread over the processes of the run, and are not. */
    isSpreadable: boolean
    /** They could be in the host's memory, and are not: all agents are on CUDA devices. */
    isOffloadable: boolean
  }
}

const float = 4

/** The part of one turn, or of one batch of an evaluation, that a model generates. */
interface Batch {
  rows: number
  promptTokens: number
  newTokens: number
}

/**
 * Plans a run.
 *
 * - weights: as loaded. masters: float32 copies of trained bfloat16 weights.
 * - moments: two numbers a trained weight, in `optimizer.moments`. These and masters are divided by the ranks they are spread over,
 *   and offloaded they are on the host. staging: what an offloaded step has of them on the device.
 * - gradients: one float, and the last pass's own beside it where there are several passes; that of
 *   a bfloat16 head once more in float32.
 * - cache: a slot for each token of each prompt, and `maxNewTokens` for each completion, all of one turn or of one batch of an
 *   evaluation; completions that end early leave theirs untouched.
 * - kept: on the processor, what filters kept at each sampled token of a step, with its copies on the way to a pass.
 * - decoding: one prefill pass, or one step with its logits.
 * - activations: what one pass keeps for its backward pass, see `activationBytesPerToken`. A prompt with its completions is never
 *   cut, so a group may be more than `maxTokensPerMicroBatch`.
 * - logits: one chunk.
 *
 * Later turns are planned as if every branch went on, with prompts that hold all completions before them.
 */
export function planMemory(work: Workload): MemoryPlan {
  const names = new Set([...work.models.map(({ device }) => device), ...(work.offload ? ['cpu'] : [])])
  const devices = [...names].map((device) => planDevice(work, device))
  const turns = turnsOf(work)
  const evaluation = evaluationOf(work)
  const most = (count: (batch: Batch) => number, batches: readonly Batch[][]) =>
    Math.max(...batches.map((batch) => sum(batch.map(count))))
  const slots = ({ promptTokens, newTokens }: Batch) => promptTokens + newTokens
  const rows = (batch: Batch) => batch.rows
  const trained = work.agents.filter(({ isTrained }) => isTrained)
  return {
    devices,
    rows: most(rows, [...turns, evaluation]),
    passTokens: Math.max(0, ...work.models.map((_, model) => passOf(work, model).tokens)),
    promptTokens: Math.max(...work.agents.map((agent) => promptOf(work, agent, work.turns - 1))),
    facts: {
      groupTokens: Math.max(...trained.map((agent) => groupOf(work, agent, work.turns - 1))),
      isFull: work.policies.some(({ kind }) => kind === 'full'),
      promptsPerStep: work.promptsPerStep,
      grows: work.turns > 1 && work.joints > 1,
      checkpointing: work.checkpointing,
      moments: work.moments,
      isSpreadable: work.ranks > 1 && !work.sharded && work.policies.every(({ kind }) => kind === 'full'),
      isOffloadable: !work.offload && work.models.every(({ device }) => device !== 'cpu'),
      isEvaluation: most(slots, [evaluation]) > most(slots, turns),
    },
  }
}

function planDevice(work: Workload, device: string): DeviceMemory {
  const here = work.models.flatMap((model, index) => (model.device === device ? [index] : []))
  const policies = work.policies.filter(({ model }) => here.includes(model))
  const trained = parametersOf(policies)
  const adapters = policies.filter(({ kind }) => kind === 'lora')
  const holders = work.sharded ? work.ranks : 1
  const isStaged = work.offload && device !== 'cpu'
  // Whose moments and masters are here.
  const keepers = isStaged ? [] : work.offload ? work.policies : policies
  const mastered = keepers.filter(({ kind, model }) => kind === 'full' && work.models[model]!.dtype === 'bfloat16')
  const weights = sum(here.map((index) => work.models[index]!.weightBytes)) + float * parametersOf(adapters)
  const passes = here.map((index) => passOf(work, index))
  // Models one after the other: the largest counts. Side by side: as many as there are threads for.
  const together = (values: number[]) => sum(values.sort((a, b) => b - a).slice(0, work.sideBySide))
  const generation = generationOf(work, here)
  const parts: MemoryPart[] = [
    { name: 'process', bytes: device === 'cpu' ? work.processBytes : 0, during: 'always' },
    { name: 'weights', bytes: weights, during: 'always' },
    { name: 'masters', bytes: Math.ceil((float * parametersOf(mastered)) / holders), during: 'always' },
    {
      name: 'moments',
      bytes: Math.ceil(sum(keepers.map((policy) => policy.momentBytes)) / holders),
      during: 'always',
    },
    {
      name: 'staging',
      // Policies of a device step one after the other.
      bytes: isStaged ? 2 * Math.max(0, ...policies.map(({ stagedBytes }) => stagedBytes)) : 0,
      during: 'training',
    },
    { name: 'kept', bytes: device === 'cpu' ? keptOf(work) : 0, during: 'always' },
    { name: 'cache', bytes: generation.cache, during: 'generation' },
    { name: 'decoding', bytes: generation.decoding, during: 'generation' },
    {
      name: 'gradients',
      bytes: float * trained * work.gradientCopies + together(passes.map(({ fresh }) => fresh)),
      during: 'training',
    },
    { name: 'activations', bytes: together(passes.map(({ activations }) => activations)), during: 'training' },
    { name: 'logits', bytes: together(passes.map(({ logits }) => logits)), during: 'training' },
  ]
  const during = (phase: MemoryPart['during']) =>
    sum(parts.filter((part) => part.during === phase || part.during === 'always').map(({ bytes }) => bytes))
  const [generating, training] = [during('generation'), during('training')]
  return {
    device,
    parts: parts.filter(({ bytes }) => bytes > 0),
    peakBytes: Math.max(generating, training),
    peak: training >= generating ? 'training' : 'generation',
  }
}

/**
 * Gradients that a deterministic step holds at most: that of a slot, and on their way to the sum those of the subtrees of
 * `native/train/slot_sums.h`, of this rank and of all.
 */
export function gradientCopies(deterministic: boolean, slots: number): number {
  return deterministic ? 2 + 2 * Math.floor(Math.log2(slots)) : 1
}

const parametersOf = (policies: readonly PlannedPolicy[]) => sum(policies.map(({ parameters }) => parameters))

/** What each model generates in each turn of a step; nothing where it does not play. */
function turnsOf(work: Workload): Batch[][] {
  const { agents, models, maxNewTokens, groupSize } = work
  return Array.from({ length: work.turns }, (_, turn) => {
    const nodes = work.promptsPerStep * work.joints ** turn
    return models.map(({ contextLength }, model) => {
      const own = agents.filter((agent) => agent.model === model).map((agent) => promptOf(work, agent, turn))
      const limits = own.map((prompt) => Math.min(maxNewTokens, contextLength - prompt))
      const rows = nodes * own.length * groupSize
      return { rows, promptTokens: nodes * sum(own), newTokens: nodes * groupSize * sum(limits) }
    })
  })
}

function keptOf(work: Workload): number {
  return sum(
    turnsOf(work).flatMap((batches) => batches.map(({ newTokens }, model) => newTokens * work.keptBytes[model]!)),
  )
}

/** Later prompts hold what was said before. */
function promptOf(work: Workload, { model, promptTokens }: Workload['agents'][number], turn: number): number {
  const { contextLength } = work.models[model]!
  return Math.max(1, Math.min(contextLength - 1, promptTokens + turn * work.agents.length * work.maxNewTokens))
}

/** What each model generates in one batch of an evaluation. */
function evaluationOf(work: Workload): Batch[] {
  const { items, samples } = work.evaluation
  const first = { ...work, promptsPerStep: items, groupSize: samples, joints: samples }
  // After the first turn each branch has one answer: no more rows than in the first, but longer prompts.
  const last = { ...first, promptsPerStep: items * samples, groupSize: 1, joints: 1 }
  return work.turns === 1 ? turnsOf(first)[0]! : turnsOf(last).at(-1)!
}

function generationOf(work: Workload, models: readonly number[]): { cache: number; decoding: number } {
  const cost = [...turnsOf(work), evaluationOf(work)].map((batches) => {
    const own = models.map((model) => ({ ...batches[model]!, ...work.models[model]! }))
    const caches = own.map((one) => (one.promptTokens + one.newTokens) * cacheBytesPerToken(one.shape))
    return { cache: sum(caches), decoding: sum(own.map((one) => generationBytes(one.shape, one))) }
  })
  return cost.reduce((most, one) => (one.cache + one.decoding > most.cache + most.decoding ? one : most))
}

/** Tokens of a prompt with its completions. */
function groupOf(work: Workload, agent: Workload['agents'][number], turn: number): number {
  const prompt = promptOf(work, agent, turn)
  return prompt + work.groupSize * Math.min(work.maxNewTokens, work.models[agent.model]!.contextLength - prompt)
}

/** The largest pass of one model's update. */
function passOf(work: Workload, model: number) {
  const { shape, dtype, passesAtOnce: atOnce } = work.models[model]!
  const policies = work.policies.filter((policy) => policy.model === model)
  const agents = work.agents.filter((agent) => agent.model === model && agent.isTrained)
  // Of a separate critic over a model that no agent plays with: the texts are those of the agents.
  const readers = agents.length > 0 ? agents : work.agents.map((agent) => ({ ...agent, model }))
  if (policies.length === 0) return { tokens: 0, activations: 0, logits: 0, fresh: 0 }
  const turns = Array.from({ length: work.turns }, (_, turn) => turn)
  const largest = Math.max(...readers.map((agent) => groupOf(work, agent, work.turns - 1)))
  const nodes = (turn: number) => work.promptsPerStep * work.joints ** turn
  const all = sum(turns.map((turn) => nodes(turn) * sum(readers.map((agent) => groupOf(work, agent, turn)))))
  const most = tokensOfPass(work.maxTokensPerMicroBatch ?? undefined, { policies: policies.length, atOnce })
  const tokens = Math.min(all, Math.max(most, largest) * atOnce)
  const rank = Math.max(...policies.map((policy) => policy.rank))
  const isCut = all > tokens || work.minibatches > 1
  const perToken = activationBytesPerToken(shape, { dtype, rank, checkpointing: work.checkpointing })
  const share = Math.min(1, (work.groupSize * work.maxNewTokens) / largest)
  const isFull = policies.some(({ kind }) => kind === 'full')
  // The head's gradient is summed in float32 before it is one of bfloat16.
  const wide = isFull && dtype === 'bfloat16' ? float * shape.vocabSize * shape.hiddenSize : 0
  return {
    tokens: Math.ceil(tokens / atOnce),
    activations: tokens * perToken,
    logits: atOnce * logitBytes(shape, Math.ceil((tokens * share) / atOnce)),
    fresh: Math.max(isCut ? float * parametersOf(policies) : 0, wide),
  }
}
