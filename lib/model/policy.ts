/** What is sampled and trained: a model's weights, an adapter over them, or the bare base. */
import { join } from 'node:path'
import { expectInstance, expectList, expectText } from '../base/arguments.ts'
import { DisposedError, MagrpoError } from '../base/errors.ts'
import { abortSignal, callback, flag, integer, seed as seedField } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import type { NativePolicy, NativeRanks } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { type AdapterSettings, readAdapter, writeAdapter } from './adapter.ts'
import { projectionNames } from './architecture.ts'
import { checkPolicy } from './check-memory.ts'
import { type DownloadOptions, downloadSection } from './download-options.ts'
import { findFolder } from './folder.ts'
import { generateBatch, type TokenEvent } from './generate.ts'
import { type LoraOptions, loraSection } from './lora-options.ts'
import { adapterParameters, valueHeadParameters } from './memory-terms.ts'
import { Model } from './model.ts'
import { readSafetensorsHeader, safetensorsHeader, toNativeSource } from './safetensors.ts'
import { type Sampling, samplingSection } from './sampling.ts'
import { writeMergedFolder, writeModelFolder } from './save.ts'
import { accumulateBatch, type BatchOptions, scoreBatch } from './score.ts'
import { type StepOptions, stepSection } from './step-options.ts'
import { StreamCounter, streamSection } from './stream.ts'
import type { Generation, GroupScores, LossOptions, Prompt, RandomStream, ScoredGroup, StepResult } from './types.ts'

/** Options of {@link Policy.generate} besides the sampling. */
export interface GenerateOptions extends Sampling {
  /** Completions per prompt. Defaults to `1`. */
  count?: number
  /**
   * Makes the samples a function of the arguments and the weights alone: equal calls give equal samples. Default: the policy's next
   * stream, see {@link Policy.stream}.
   */
  seed?: number
  /** The same with more than a seed; what it leaves out is 0, and prompts are numbered on from `prompt`. */
  stream?: Partial<RandomStream>
  signal?: AbortSignal
  /** Called with new tokens as they come, many rows at a time. */
  onTokens?(events: TokenEvent[]): void
}

const generateSection = section({
  ...samplingSection.shape,
  ...({
    count: integer({ from: 1 }).default(1),
    seed: seedField().optional(),
    stream: streamSection.optional(),
    signal: abortSignal(),
    onTokens: callback<(events: TokenEvent[]) => void>(),
  } satisfies FieldsOf<Omit<GenerateOptions, keyof Sampling>>),
})

const valueHeadSection = section({ hiddenSize: integer({ from: 1 }).optional(), seed: seedField().default(0) })
const stepCallSection = section({ signal: abortSignal() })
const saveSection = section({ merged: flag().default(false) })

/** A prompt and completions to score or train, see {@link ScoredGroup}. */
export type PolicyGroup = Omit<ScoredGroup, 'policy'>

/**
 * A policy π over a model.
 *
 * - `Policy.base(model)`: the bare base, frozen.
 * - `Policy.full(model)`: all weights, trainable; one per model.
 * - `Policy.lora(model)`: a LoRA adapter (Hu et al. 2021), trainable; any number a model, all sharing its frozen weights.
 */
export class Policy {
  readonly model: Model
  readonly kind: 'base' | 'full' | 'lora'
  readonly #native: NativePolicy | null
  readonly #adapter: AdapterSettings | null
  readonly #streams: StreamCounter
  #disposal: Promise<void> | undefined

  private constructor(model: Model, native: NativePolicy | null, adapter: AdapterSettings | null, seed = 0) {
    this.model = model
    this.kind = native?.kind ?? 'base'
    this.#native = native
    this.#adapter = adapter
    this.#streams = new StreamCounter(seed)
    model.adopt(this)
  }

  /** The bare base. It holds nothing of its own and cannot be trained. */
  static base(model: Model): Policy {
    expectInstance(model, Model, 'model of Policy.base')
    return new Policy(model, null, null)
  }

  /**
   * All weights of the model. In bfloat16, float32 masters are kept beside them.
   *
   * @throws MagrpoError `ERR_ARGUMENT` if the model has a full policy already; DisposedError
   */
  static async full(model: Model): Promise<Policy> {
    expectInstance(model, Model, 'model of Policy.full')
    // In float32 the model's own weights are trained.
    if (model.dtype === 'bfloat16') checkPolicy(model, 'the float32 masters', 2 * model.weightBytes)
    return Policy.#over(model, await callNative(async () => model.native.createPolicy({ kind: 'full' })), null)
  }

  /**
   * A new adapter over the model, equal to the bare base until it is trained.
   *
   * @throws ConfigError for settings out of range; MagrpoError `ERR_ADAPTER` for some that do not fit the model
   */
  static async lora(model: Model, options: LoraOptions = {}): Promise<Policy> {
    expectInstance(model, Model, 'model of Policy.lora')
    const { rank, targets, seed, alpha = 2 * rank } = resolve(loraSection, options, 'Policy.lora')
    const projections = targets === 'all-linear' ? projectionNames(model.config.architecture) : [...targets]
    const settings: AdapterSettings = { rank, alpha, targets: projections, rankStabilised: false }
    return Policy.#over(model, await createAdapter(model, settings, seed), settings, seed)
  }

  /**
   * An adapter that was saved in PEFT's layout (`adapter_config.json`, `adapter_model.safetensors`), by this package or by `peft`.
   *
   * @param source path of its folder, or a name of the hub as for `Model.load`
   * @throws MagrpoError `ERR_MODEL_NOT_FOUND`, `ERR_DOWNLOAD`, `ERR_ADAPTER` for settings that are not supported, by name; ModelFormatError for broken files
   */
  static async fromAdapter(model: Model, source: string, options: DownloadOptions = {}): Promise<Policy> {
    expectInstance(model, Model, 'model of Policy.fromAdapter')
    expectText(source, 'source of Policy.fromAdapter')
    const { folder } = await findFolder(source, 'adapter', resolve(downloadSection, options, 'Policy.fromAdapter'))
    const { settings, weightsFile } = await readAdapter(folder, projectionNames(model.config.architecture))
    const sources = (await readSafetensorsHeader(weightsFile)).map(toNativeSource)
    const native = await createAdapter(model, settings, 0)
    try {
      const names = new Set(native.tensors('weights').map(({ name }) => name))
      const unknown = sources.find(({ name }) => !names.has(name))
      if (unknown !== undefined)
        throw new MagrpoError(
          'ERR_ADAPTER',
          `${weightsFile} holds a tensor "${unknown.name}" that an adapter of this model with targets ` +
            `${settings.targets.join(', ')} does not have.`,
          { details: { file: weightsFile, tensor: unknown.name } },
        )
      await callNative(() => native.readTensors('weights', sources))
    } catch (error) {
      await native.dispose()
      throw error
    }
    return Policy.#over(model, native, settings)
  }

  /** The model may have been disposed while the native policy was made: then it goes as well. */
  static async #over(
    model: Model,
    native: NativePolicy,
    adapter: AdapterSettings | null,
    seed?: number,
  ): Promise<Policy> {
    try {
      return new Policy(model, native, adapter, seed)
    } catch (error) {
      await native.dispose()
      throw error
    }
  }

  /** Number of trainable parameters; 0 for the bare base. */
  get parameterCount(): number {
    return this.#native?.parameterCount ?? 0
  }

  /**
   * The native handle, null for the bare base; for the other files of `lib/model`.
   *
   * @throws DisposedError
   * @internal
   */
  get native(): NativePolicy | null {
    if (this.#disposal !== undefined) throw new DisposedError(`The ${this.kind} policy of "${this.model.source}"`)
    return this.#native
  }

  /**
   * Calls something native of a trainable policy; for `lib/rl`.
   *
   * @internal
   */
  withNative<T>(call: (native: NativePolicy) => Promise<T>): Promise<T> {
    return callNative(async () => call(this.#trainable('train')))
  }

  /**
   * The random numbers of the next {@link generate} that names none. Every such call takes the next one (`step` counts the calls), and
   * two policies of a process never have the same. A script that resumes sets what it read and kept.
   */
  get stream(): RandomStream {
    return this.#streams.next
  }

  set stream(stream: RandomStream) {
    this.#streams.next = stream
  }

  /**
   * Completions of each prompt, all in one batch; each prompt is computed once for all its samples.
   *
   * @returns one entry a prompt, in order
   * @throws ConfigError for options that are unknown or out of range; MagrpoError `ERR_EMPTY_PROMPT`, `ERR_PROMPT_TOO_LONG`, `ERR_TOKEN_RANGE`, `ERR_TOKENIZER_MISSING`,
   *   `ERR_ARGUMENT`; the signal's reason
   */
  async generate(prompts: readonly Prompt[], options: GenerateOptions = {}): Promise<Generation[]> {
    const given = resolve(generateSection, options, 'The options of generate')
    const { count, seed, stream, signal, onTokens, ...sampling } = given
    expectList(prompts, 'prompts of generate')
    const base = this.#streams.take(seed, stream, options.stream?.seed !== undefined)
    const requests = prompts.map((prompt, index) => ({
      policy: this as Policy,
      prompt,
      count,
      stream: { ...base, prompt: base.prompt + index },
    }))
    return (await generateBatch(requests, sampling, { signal, onTokens })).generations
  }

  /**
   * Log-probabilities (natural) and entropies of completions, in the order given: at temperature 1 over all tokens, or of the
   * distribution that a sampler with `options.sampling` draws from.
   */
  async logProbs(groups: readonly PolicyGroup[], options: BatchOptions = {}): Promise<GroupScores[]> {
    return (await scoreBatch(this.#owned(groups), options)).scores
  }

  /**
   * Adds the gradient of Σ wᵢ·log π(tokenᵢ) over all completions' tokens; {@link step} moves the policy up it. With
   * wᵢ = A / divisor this is Eq. 2 of MAGRPO (Liu et al., AAAI 2026). The scores of the pass come for free.
   *
   * @throws MagrpoError `ERR_ARGUMENT` for a completion that has nothing to train with, neither weights nor another term's
   */
  async accumulate(
    groups: readonly PolicyGroup[],
    options: BatchOptions & { loss?: LossOptions } = {},
  ): Promise<GroupScores[]> {
    return (await accumulateBatch(this.#owned(groups), options)).scores
  }

  /**
   * One AdamW step up the accumulated gradient, which is then dropped.
   *
   * @throws ConfigError for settings that are unknown or out of range; MagrpoError `ERR_ARGUMENT` for the bare base
   */
  async step(options: StepOptions, call: { signal?: AbortSignal } = {}): Promise<StepResult> {
    const { signal } = resolve(stepCallSection, call, 'The second argument of step')
    return this.stepWith(options, undefined, signal)
  }

  /**
   * {@link step} on all of these ranks at once; for `lib/rl`.
   *
   * @internal
   */
  async stepWith(options: StepOptions, ranks?: NativeRanks, signal?: AbortSignal): Promise<StepResult> {
    const { betas, decay, ...others } = resolve(stepSection, options, 'The options of step')
    const settings = { ...others, beta1: betas[0], beta2: betas[1], decayAll: decay === 'all' }
    return callNative((job) => this.#trainable('step').step(settings, job, ranks), signal)
  }

  /**
   * Gives the policy a value head: Linear(hidden state, hiddenSize) → tanh → Linear(hiddenSize, 1), normal weights of deviation
   * 0.02, zero biases. It is trained by the policy's own {@link step}, replaces an earlier one, and is read where a group has
   * `valueAt`.
   *
   * @throws MagrpoError `ERR_ARGUMENT` for the bare base; OutOfMemoryError where it does not fit
   */
  async attachValueHead(options: { hiddenSize?: number; seed?: number } = {}): Promise<void> {
    const { hiddenSize = this.model.config.hiddenSize, seed } = resolve(valueHeadSection, options, 'attachValueHead')
    const settings = { hiddenSize, seed }
    checkPolicy(this.model, 'a value head', 4 * valueHeadParameters(this.model.config, settings.hiddenSize))
    await callNative(async () => this.#trainable('attachValueHead').attachValueHead(settings))
  }

  /**
   * Gives the policy the value head that {@link save} wrote to a folder.
   *
   * @throws ModelFormatError `ERR_MODEL_FORMAT` if the file is broken or of another shape; Node's error if there is none
   */
  async loadValueHead(folder: string): Promise<void> {
    expectText(folder, 'folder of loadValueHead')
    const file = join(folder, 'value_head.safetensors')
    const sources = (await readSafetensorsHeader(file)).map(toNativeSource)
    const hiddenSize = sources.find(({ name }) => name === 'value_head.hidden.bias')?.shape[0]
    await this.attachValueHead({ hiddenSize })
    await callNative(async () => this.#trainable('loadValueHead').readTensors('valueHead', sources))
  }

  /** Drops the accumulated gradient. */
  async zeroGrad(): Promise<void> {
    if (this.native !== null) await callNative(async () => this.native?.zeroGrad())
  }

  /**
   * Writes the policy to a folder: an adapter in PEFT's layout, weights in Hugging Face layout with configuration and
   * tokenizer. `transformers` and `peft` open the result. A value head goes into a file of its own, `value_head.safetensors`,
   * which they leave alone.
   *
   * @param options `merged` writes the base's weights with the adapter added to them, instead of the adapter; of other policies it
   *   changes nothing. In a bfloat16 model the sum is rounded to bfloat16. Defaults to `false`.
   * @throws MagrpoError `ERR_RUN` where the folder cannot be written
   */
  async save(folder: string, options: { merged?: boolean } = {}): Promise<void> {
    expectText(folder, 'folder of save')
    const { merged } = resolve(saveSection, options, 'The options of save')
    const { native } = this
    if (this.#adapter !== null && native !== null) {
      if (merged) await writeMergedFolder(folder, this.model, native, scaleOf(this.#adapter))
      else await writeAdapter(folder, native, this.#adapter, this.model)
    } else await writeModelFolder(folder, this.model, native)
    const head = native?.tensors('valueHead') ?? []
    if (head.length > 0)
      await callNative(async () =>
        native?.writeTensors('valueHead', join(folder, 'value_head.safetensors'), safetensorsHeader(head, {})),
      )
  }

  /** Frees the policy once running calls have ended; idempotent. The model stays. */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      this.model.release(this)
      await this.#native?.dispose()
    })()
    return this.#disposal
  }

  /** What `await using` calls: `dispose()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  #owned(groups: readonly PolicyGroup[]): ScoredGroup[] {
    expectList(groups, 'groups')
    return groups.map((group) => ({ ...group, policy: this }))
  }

  #trainable(what: string): NativePolicy {
    if (this.native === null)
      throw new MagrpoError(
        'ERR_ARGUMENT',
        `Expected a trainable policy for ${what}() but received the bare base: use Policy.full or Policy.lora.`,
      )
    return this.native
  }
}

async function createAdapter(model: Model, settings: AdapterSettings, seed: number): Promise<NativePolicy> {
  const { rank, targets } = settings
  const scale = scaleOf(settings)
  checkPolicy(model, `an adapter of rank ${rank}`, 4 * adapterParameters(model.config, rank, targets))
  return callNative(async () => model.native.createPolicy({ kind: 'lora', rank, scale, targets, seed }))
}

/** What B·A is multiplied with. */
function scaleOf({ rank, alpha, rankStabilised }: AdapterSettings): number {
  return alpha / (rankStabilised ? Math.sqrt(rank) : rank)
}
