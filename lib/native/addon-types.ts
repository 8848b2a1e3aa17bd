/**
 * The addon as JavaScript sees it, one readable file. What crosses is numbers, strings and typed arrays, never a tensor.
 *
 * Shapes: `S` segments, `N` tokens of a tree in all, `B` rows that generate, `P` policies of one call.
 * All asynchronous calls run on the device's executor thread; a rejected promise carries `{ code, message, trace? }`.
 */

/** How a call is watched and stopped. */
export interface NativeJobOptions {
  /** Set by {@link NativeCancelFlag.cancel}; the job then rejects with code `ERR_CANCELLED` at its next slice. */
  cancel?: NativeCancelFlag
}

/** An atomic flag that a running job polls once per token step or micro-batch. */
interface NativeCancelFlag {
  cancel(): void
}

/** One tensor inside a safetensors file; `begin` is a byte offset from the start of the file. */
export interface NativeTensorSource {
  name: string
  file: string
  /** `U8`: codes, of an optimizer's state alone. */
  dtype: 'F32' | 'F16' | 'BF16' | 'U8'
  shape: number[]
  begin: number
}

/** Rotary settings, resolved from either spelling of config.json. */
export interface NativeRope {
  type: 'default' | 'linear' | 'llama3'
  theta: number
  factor: number
  lowFreqFactor: number
  highFreqFactor: number
  originalMaxPositions: number
}

/** A decoder's shape; every field is honoured by `native/model`. */
export interface NativeModelConfig {
  /** One of `native/model/arch`. */
  architecture: string
  vocabSize: number
  hiddenSize: number
  intermediateSize: number
  numLayers: number
  numHeads: number
  numKvHeads: number
  headDim: number
  rmsNormEps: number
  /** Attention's scores are divided by its root. */
  queryScalar: number
  rope: NativeRope
  /** Of layers with a window, where it is another. */
  slidingRope: NativeRope | null
  /** Bias of q, k and v. */
  qkvBias: boolean
  /** Bias of the attention's output projection. */
  outputBias: boolean
  mlpBias: boolean
  tieWordEmbeddings: boolean
  /** (numLayers) tokens that a position may look back, itself included; 0 means all. */
  slidingWindows: Int32Array
}

/** What {@link NativeAddon.loadModel} takes. Tensor names are those of the checkpoint. */
export interface NativeModelSpec {
  config: NativeModelConfig
  dtype: 'float32' | 'bfloat16'
  /** `cpu` or `cuda:N`. */
  device: string
  tensors: NativeTensorSource[]
}

/** A trainable view: all weights, or a LoRA adapter over the frozen base. */
type NativePolicySpec =
  | { kind: 'full' }
  | {
      kind: 'lora'
      rank: number
      /** What B·A is multiplied with: alpha / rank, or alpha / sqrt(rank) for rank-stabilised adapters. */
      scale: number
      /** Names of projections: `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`. */
      targets: string[]
      /** (targets) rank of each target where they differ from `rank`. */
      seed: number
    }

/**
 * Token tree: the one input of generation, log-probs and gradients. Segment `s` holds tokens `ids[offset[s]..offset[s+1])`
 * and continues segment `parent[s]` (-1: a root; parents come before children). A path from a root is one text.
 */
export interface NativeTokenTree {
  /** (S) */
  parent: Int32Array
  /** (S + 1) */
  offset: Int32Array
  /** (N) */
  ids: Int32Array
  /** (S) index into the call's `policies`, -1 for the bare base; equal along a path. */
  policy: Int32Array
}

/** How tokens are chosen. Order: repetition penalty, temperature, top-k, top-p, min-p. */
export interface NativeSampling {
  /** 0 is greedy. */
  temperature: number
  /** 0 keeps all. */
  topK: number
  topP: number
  minP: number
  /** Over the ids of the whole path, prompt included; 1 is none. */
  repetitionPenalty: number
  stopIds: Int32Array
  /** UTF-8 bytes of each stop string; needs {@link NativeModel.setTokenBytes}. */
  stopStrings: Uint8Array[]
}

interface NativeGenerateRequest {
  tree: NativeTokenTree
  policies: NativePolicy[]
  /** (B) the segment each row continues. */
  rowSegment: Int32Array
  /** (B) most tokens each row may get. */
  rowLimit: Int32Array
  /** (B, 5) seed, step, agent, prompt, sample: what a row's random numbers are a function of, with the position. */
  rowStream: Uint32Array
  sampling: NativeSampling
  /** Products whose shapes do not depend on what else is in the batch. */
  deterministic?: boolean
  /** Run on one thread, beside other such calls; the result does not depend on whether there are any. */
  oneThread?: boolean
  /** Called with the row numbers and their new tokens after each token step, on JavaScript's thread. */
  onTokens?: (rows: Int32Array, ids: Int32Array) => void
  /** Called with the number of each row that has ended, on JavaScript's thread. */
  onRow?: (row: number, result: NativeRow) => void
}

/** What was generated for a row. */
export interface NativeRow {
  ids: Int32Array
  /** One per id: natural log-probability under the distribution it was drawn from; the model's if greedy. */
  logProbs: Float32Array
  /** One per id: entropy of that distribution, in nats. */
  entropies: Float32Array
  /** The same at temperature 1 over the full vocabulary; absent where the two do not differ. */
  modelLogProbs?: Float32Array
  modelEntropies?: Float32Array
  /** What passed the filters, one set per id (`native/core/token_set.h`); absent without filters. */
  kept?: Uint8Array
  /** By an end token or stop string; else by the limit. */
  stopped: boolean
}

interface NativeGenerateResult {
  /** (B) */
  rows: NativeRow[]
  prefillTokens: number
  prefillSeconds: number
  decodeSeconds: number
}

interface NativeScoreRequest {
  tree: NativeTokenTree
  policies: NativePolicy[]
  /** (N) 1 where a token's log-probability is wanted; a root's first token has none. */
  scored: Uint8Array
  /** Trees are cut between roots into passes of at most so many tokens (a larger root is one pass). */
  maxTokensPerMicroBatch: number
  /** Keep each layer's input only, and compute the layer again in the backward pass. */
  activationCheckpointing?: boolean
  /** As in {@link NativeGenerateRequest}. */
  oneThread?: boolean
  /** (U) tokens whose hidden state is read by the value head of their policy. */
  valueTokens?: Int32Array
  /** Scores are of the distribution that a sampler with this temperature drew from. Defaults to 1. */
  temperature?: number
  /** The same for the penalty of tokens that came before. Defaults to 1. */
  repetitionPenalty?: number
  /** What its filters kept: {@link NativeRow.kept} of all scored tokens, in order. */
  kept?: Uint8Array
}

/** What is made larger besides Σ wᵢ·log π(tokenᵢ); see `native/train/policy_loss.h`. */
interface NativeLoss {
  clip?: { low: number; high: number }
  kl?: { estimator: 'k1' | 'k2' | 'k3'; coefficient: number }
  entropyCoefficient?: number
}

export interface NativeScoreResult {
  /** (N) natural log-probabilities, 0 where not scored. */
  logProbs: Float32Array
  /** (N) entropies in nats, 0 where not scored. */
  entropies: Float32Array
  /** (U) values of `valueTokens`. */
  values: Float32Array
  seconds: number
}

export interface NativeAccumulateRequest extends NativeScoreRequest {
  /** (N) weight of each scored token: the gradient of Σ wᵢ·log π(tokenᵢ) is added, to be moved up by a step. */
  weights: Float32Array
  loss?: NativeLoss
  /** (N) log-probabilities under the policy that sampled; needed for `loss.clip`. */
  oldLogProbs?: Float32Array
  /** (N) log-probabilities under the reference; needed for `loss.kl`. */
  referenceLogProbs?: Float32Array
  /** (N) multiplies each token's KL and entropy term; needed for `loss.kl` and `loss.entropyCoefficient`. */
  penalties?: Float32Array
  /** (U) and (U): - Σ weight·(target - V)² is added to what is made larger. */
  valueTargets?: Float32Array
  valueWeights?: Float32Array
}

interface NativeStepOptions {
  learningRate: number
  beta1: number
  beta2: number
  epsilon: number
  weightDecay: number
  /** Of all weights; false: of matrices alone. */
  decayAll: boolean
  /** Largest global L2 norm of the gradient; 0 turns clipping off. */
  maxGradNorm: number
  /** What the moments are kept in; those kept in another are converted first. */
  moments: 'float32' | 'bfloat16' | 'int8'
}

interface NativeStepResult {
  /** Global L2 norm before clipping. */
  gradNorm: number
  /** The gradient was not finite: nothing was changed, the gradient was dropped. */
  skipped: boolean
}

/** Name, shape and dtype of one tensor as it is saved. */
export interface NativeTensorInfo {
  name: string
  dtype: 'F32' | 'BF16' | 'U8'
  shape: number[]
}

/** What of a policy can be saved: weights in checkpoint names, the optimizer's moments and step count, and so on. */
export type NativeSection = 'weights' | 'optimizer' | 'gradients' | 'valueHead'

export interface NativePolicy {
  readonly kind: 'full' | 'lora'
  /** Number of trainable parameters. */
  readonly parameterCount: number
  /** `ranks` are needed where the optimizer is spread over them: all of them step at once. */
  step(options: NativeStepOptions, job?: NativeJobOptions, ranks?: NativeRanks): Promise<NativeStepResult>
  /** Drops accumulated gradients. */
  zeroGrad(): Promise<void>
  /** Gives the policy a value head, Linear(h, hiddenSize) -> tanh -> Linear(hiddenSize, 1), trained by its own step. */
  attachValueHead(options: { hiddenSize: number; seed: number }): Promise<void>
  /** What {@link writeTensors} writes: weights in checkpoint names, or the optimizer's moments and step count. */
  tensors(what: NativeSection): NativeTensorInfo[]
  /**
   * Writes `header` and then the tensors' bytes in the order of {@link tensors} to `file`, and syncs it. With `ranks`, over which the
   * optimizer is spread, all of them call it at once: rank 0 writes what all of them have, the others name no file.
   */
  writeTensors(what: NativeSection, file: string, header: Uint8Array, ranks?: NativeRanks): Promise<void>
  /** Overwrites tensors by name; every name and shape must fit. With `ranks` as above: rank 0 reads, the others have no sources. */
  readTensors(
    what: Exclude<NativeSection, 'gradients'>,
    sources: NativeTensorSource[],
    ranks?: NativeRanks,
  ): Promise<void>
  /** Ends the gradient of one slot of a step; see `native/train/slot_sums.h`. */
  endSlot(place: NativeSlotShares & { slot: number; rank: number }): Promise<void>
  /** Makes the gradient that of all slots and ranks; without `ranks` there is one rank. */
  sumSlots(shares: NativeSlotShares, ranks?: NativeRanks): Promise<void>
  /** Makes the gradient the sum of all ranks'. */
  sumGradients(ranks: NativeRanks): Promise<void>
  /** Bytes of the optimizer's moments, and masters if weights are not float32, that this process holds; for measurements. */
  optimizerBytes(): Promise<number>
  /** Spreads the optimizer's moments and masters over the ranks, or gives each all of them again. */
  spread(ranks: NativeRanks, wanted: boolean): Promise<void>
  /** Keeps the optimizer's moments and masters in the host's memory, or on the device again; no effect on the processor. */
  offload(wanted: boolean): Promise<void>
  /**
   * Overwrites weights, value head and optimizer with those of rank 0, whose moments are of this kind; of an optimizer that is spread,
   * the step count.
   */
  copyFromFirst(ranks: NativeRanks, moments: string): Promise<void>
  dispose(): Promise<void>
}

/** The slots of a step that have a gradient, ascending, and where each rank's share of all slots begins. */
interface NativeSlotShares {
  slots: Int32Array
  bounds: Int32Array
}

/** Where this process stands among those of a run. */
export interface NativePlace {
  rank: number
  size: number
  /** Of rank 0. */
  address: string
  port: number
  /** Whether rank 0 opens the store; false where the launcher has one. */
  hostsStore: boolean
  /** Of all keys in the store. */
  prefix: string
  /** For all to come. */
  timeoutMs: number
  /** A rank that gives no sign of life for so long is lost. */
  silenceMs: number
}

/** What is called when others have something to say. */
export interface NativeRankCallbacks {
  onMessage(from: number, message: Uint8Array): void
  /** Once; nothing works any more then. */
  onLost(rank: number, why: string): void
}

/** The ranks of a run. Calls reject with `ERR_RANK` if others do not answer. */
export interface NativeRanks {
  /** The first gathering, within the timeout. */
  join(value: Uint8Array): Promise<Uint8Array[]>
  /**
   * Connects these ranks for tensors, this one among them: the exchange of tensors is between them from now on. They do so at about the
   * same time, after {@link join}.
   */
  connect(members: Int32Array): Promise<void>
  /** The values of some ranks, this one among them, in their order; each name is used once. Default: of all ranks. */
  gather(name: string, value: Uint8Array, members?: Int32Array): Promise<Uint8Array[]>
  tell(rank: number, message: Uint8Array): void
  /** Bytes so far: of tensors that were handed over, and of gathered values that were given and got from others. */
  traffic(): Promise<{ tensors: number; values: number }>
  /** Says good-bye. Rank 0 waits up to two seconds for the others. */
  dispose(): Promise<void>
}

export interface NativeModel {
  readonly parameterCount: number
  /** Bytes of the weights on the device. */
  readonly weightBytes: number
  createPolicy(spec: NativePolicySpec): Promise<NativePolicy>
  /** The bytes each token id stands for: token i is `bytes[offset[i]..offset[i+1])`. */
  setTokenBytes(offset: Int32Array, bytes: Uint8Array): void
  generate(request: NativeGenerateRequest, job?: NativeJobOptions): Promise<NativeGenerateResult>
  logProbs(request: NativeScoreRequest, job?: NativeJobOptions): Promise<NativeScoreResult>
  accumulate(request: NativeAccumulateRequest, job?: NativeJobOptions): Promise<NativeScoreResult>
  /** (V) logits after the last token of each row of `rowSegment`: (B, V), for tests and research. */
  logits(tree: NativeTokenTree, policies: NativePolicy[], rowSegment: Int32Array): Promise<Float32Array>
  /** Weights of the bare base (or of the full policy) as they would be saved. */
  tensors(): NativeTensorInfo[]
  writeTensors(file: string, header: Uint8Array): Promise<void>
  dispose(): Promise<void>
}

/** Sizes of the core that memory depends on. */
export interface NativeLimits {
  /** Logits that exist at once in a pass: `kChunkLogits` of `native/train/log_prob_head.h`. */
  chunkLogits: number
  /** Tokens of the vocabulary whose logits are computed together on the CPU: `kTileColumns` there. */
  tileColumns: number
  /** Maximum number of prompt tokens per prefill pass: `kPrefillTokens` of `native/rollout/generate.h`. */
  prefillTokens: number
}

/** What was compiled of one of `native/model/arch`; the order of everything is that of `native/model/architecture.h`. */
interface NativeArchitecture {
  modelType: string
  /** Checkpoint names; empty where there is no such tensor. */
  tensors: string[]
  /** Name and numbers of the widths of its input and output. */
  projections: [tensor: string, from: number, to: number][]
  formulas: [activation: number, embeddingScale: number, normOffset: number]
}

/** {@link NativeInfo.variant} where `MAGRPO_DEVICE=software` put a device in software in a GPU's place (docs/gpu.md). */
export const softwareVariant = 'software'

/** The addon's build and settings. */
export interface NativeInfo {
  libtorchVersion: string
  /** `cpu`, the CUDA version the addon was built against, or `software`. */
  variant: string
  cpuCapability: string
  threads: number
  /** Rows up to which products are those of `native/kernels/row_product/row_product.h`, by the processor; null: any. */
  rowProductRows: number | null
  limits: NativeLimits
  cuda: { available: boolean; reason: null | 'cpu_build' | 'no_driver' | 'no_device' | 'driver_too_old' }
}

/** One case of a kernel on a device and on the CPU. */
export interface NativeKernelResult {
  kernel: string
  shape: string
  dtype: string
  /** The largest difference, relative for numbers above 1; NaN where one side alone has none, or the case threw. */
  difference: number
  bound: number
  passed: boolean
  /** Of the largest difference, such as `d_q[3, 17]`; or what was thrown. */
  where: string
  /** The CPU's number there, and the device's. */
  expected: number
  seen: number
}

/** The roofs of a device, measured. */
export interface NativeDeviceSpeed {
  /** Read and written by a large copy within the device. */
  bytesPerSecond: number
  /** Operations a second of a large square product, a multiply-add counted as two. */
  float32: number
  bfloat16: number
}

export interface NativeAddon {
  /** The architectures as they were compiled, for the test that compares them with their files. */
  architectures(): NativeArchitecture[]
  info(): NativeInfo
  /** Intra-op threads of the CPU executor. */
  setThreads(count: number): void
  /**
   * Memory of a CUDA device for this process: what it may still take, what it holds, and the most it has held.
   *
   * @throws `ERR_DEVICE` where there is none, `ERR_ARGUMENT` for the CPU
   */
  deviceMemory(device: string): { freeBytes: number; heldBytes: number; peakBytes: number }
  /**
   * What the maker calls a CUDA device.
   *
   * @throws as {@link deviceMemory}
   */
  deviceName(device: string): string
  /**
   * Runs every kernel on a CUDA device and on the CPU (`native/check/kernel_check.h`); a case that fails is a result.
   *
   * @param quick fewer sizes
   * @throws as {@link deviceMemory}
   */
  checkKernels(device: string, quick: boolean, job?: NativeJobOptions): Promise<NativeKernelResult[]>
  /**
   * What a device gives at its best (`native/check/device_speed.h`), in about a second.
   *
   * @param sizes bytes of the buffer that is copied, rows of the square matrices
   */
  deviceSpeed(
    device: string,
    sizes: { bytes: number; size: number },
    job?: NativeJobOptions,
  ): Promise<NativeDeviceSpeed>
  CancelFlag: new () => NativeCancelFlag
  loadModel(
    spec: NativeModelSpec,
    job?: NativeJobOptions & { onProgress?: (done: number, total: number) => void },
  ): Promise<NativeModel>
  /** Begins to look for the other ranks; it returns at once. */
  openRanks(place: NativePlace, callbacks: NativeRankCallbacks): NativeRanks
  /** Handles and jobs alive in this process, for leak tests. */
  liveObjects(): { models: number; policies: number; jobs: number }
}
