/** A language model on a device: its weights, its shape and its tokenizer. */
import { join } from 'node:path'
import { z } from 'zod'
import { expectText } from '../base/arguments.ts'
import { DisposedError, MagrpoError, ModelFormatError } from '../base/errors.ts'
import { callback, flag } from '../base/fields.ts'
import { readJsonFile } from '../base/read-json.ts'
import { choice, type FieldsOf, resolve, section } from '../base/validate.ts'
import { type NativeModel, softwareVariant } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { freeMemoryOf } from '../native/free-memory.ts'
import { loadAddon } from '../native/load-addon.ts'
import { placeOfProcess } from '../ranks/launcher.ts'
import { tokenBytes } from '../text/token-bytes.ts'
import { Tokenizer } from '../text/tokenizer.ts'
import { checkWeights } from './check-memory.ts'
import { endIdsOf, type ModelConfig, parseModelConfig, tensorNames } from './config.ts'
import { type DownloadOptions, downloadShape } from './download-options.ts'
import { findFolder } from './folder.ts'
import { readModelTensors, toNativeSource } from './safetensors.ts'
import { settleTie } from './tied-head.ts'

/** Options of {@link Model.load}. */
export interface LoadOptions extends DownloadOptions {
  /**
   * `auto` is the first CUDA device if there is one that is no software device (for a rank, that of its number on the machine), else the
   * processor; see {@link Model.device}.
   * Defaults to `auto`.
   */
  device?: 'auto' | 'cpu' | `cuda:${number}`
  /** `auto` is what `config.json` says, with float16 widened to float32. Defaults to `auto`. */
  dtype?: 'auto' | 'float32' | 'bfloat16'
  /**
   * `false`: only its shape and its tokenizer, for an agent that another process of the run holds (`columns` of `Team.of`). Defaults to
   * `true`.
   */
  weights?: boolean
  /** Called with the number of tensors read and their total. */
  onProgress?(done: number, total: number): void
}

const loadSection = section({
  ...downloadShape,
  device: z
    .string({ error: 'expected auto, cpu or cuda:N' })
    .regex(/^(auto|cpu|cuda:\d+)$/, 'expected auto, cpu or cuda:N')
    .optional(),
  dtype: choice(['auto', 'float32', 'bfloat16']).optional(),
  weights: flag().default(true),
  onProgress: callback<(done: number, total: number) => void>(),
} satisfies FieldsOf<LoadOptions>)

/** The device of models whose weights are not loaded. */
const nowhere = 'meta'

/** Something that lives as long as a model at most. */
interface Child {
  dispose(): Promise<void>
}

/**
 * A loaded model. What is trained or sampled is a `Policy` over it. Several policies may share one model: adapters, or the
 * bare base.
 *
 * Dispose it when done: `await using model = await Model.load(...)`, or `dispose()` in `finally`.
 */
export class Model {
  /** What it was loaded as. */
  readonly source: string
  /** Folder its files are in. */
  readonly folder: string
  /** Name and commit of a model of the hub; null for a local folder. */
  readonly hub: { readonly name: string; readonly commit: string } | null
  readonly config: ModelConfig
  /** Null if the folder has no `tokenizer.json`: prompts are then token ids. */
  readonly tokenizer: Tokenizer | null
  /** Ids that end a completion: those of `generation_config.json`, else of `config.json`, else none. */
  readonly endIds: readonly number[]
  /** `cpu`, `cuda:N`, or `meta` for one whose weights were not loaded. */
  readonly device: string
  readonly dtype: 'float32' | 'bfloat16'
  readonly #native: NativeModel
  readonly #children = new Set<Child>()
  #disposal: Promise<void> | undefined

  private constructor(fields: Omit<ModelFields, 'native'>, native: NativeModel) {
    this.source = fields.source
    this.folder = fields.folder
    this.hub = fields.hub
    this.config = fields.config
    this.tokenizer = fields.tokenizer
    this.endIds = fields.endIds
    this.device = fields.device
    this.dtype = fields.dtype
    this.#native = native
  }

  /**
   * Loads a model in Hugging Face layout (`config.json`, `model.safetensors` or its shards, `tokenizer.json`).
   *
   * @param source path of a folder; `builtin:mini-code`; or a name of the hub, `org/name` or `org/name@revision`: found in the standard
   *   Hugging Face cache, or downloaded into it after {@link LoadOptions.onDownload} was told
   * @throws MagrpoError `ERR_MODEL_NOT_FOUND`, `ERR_ARGUMENT`, `ERR_DOWNLOAD`; ModelFormatError `ERR_MODEL_FORMAT`, `ERR_MODEL_UNSUPPORTED`,
   *   `ERR_MODEL_WEIGHTS`; DeviceError; OutOfMemoryError; NativeLoadError; the signal's reason
   * @example
   * ```ts
   * await using model = await Model.load('models/mini-code')
   * console.log(model.parameterCount, model.device)
   * ```
   */
  static async load(source: string, options: LoadOptions = {}): Promise<Model> {
    expectText(source, 'source of Model.load')
    const given = resolve(loadSection, options, 'The options of Model.load')
    const { signal, onProgress, revision, onDownload } = given
    signal?.throwIfAborted()
    const { folder, hub } = await findFolder(source, 'model', { revision, onDownload, signal })
    const asked = parseModelConfig(await readJsonFile(folder, 'config.json'), join(folder, 'config.json'))
    const generation = await readJsonFile(folder, 'generation_config.json')
    const endIds =
      generation?.eos_token_id == null ? asked.endIds : endIdsOf(generation, join(folder, 'generation_config.json'))
    const tokenizer = await loadTokenizer(folder)
    const { tensors: present, config } = await settleTie(await readModelTensors(folder), asked)
    const tensors = needed(present, config).map(toNativeSource)
    const addon = loadAddon()
    const device = !given.weights
      ? nowhere
      : options.device === undefined || options.device === 'auto'
        ? defaultDevice()
        : options.device
    const dtype = chosenDtype(options.dtype, config)
    // Of what the files hold: where config.json asks for more, the core says which tensor does not fit it.
    const numbers = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0)
    checkWeights(source, numbers * (dtype === 'float32' ? 4 : 2), freeMemoryOf(device))
    const native = await callNative(
      (job) => addon.loadModel({ config, dtype, device, tensors }, { ...job, onProgress }),
      signal,
    )
    try {
      if (tokenizer !== null) {
        const table = tokenBytes(tokenizer)
        native.setTokenBytes(table.offset, table.bytes)
      }
    } catch (error) {
      await native.dispose()
      throw error
    }
    return new Model({ source, folder, hub, config, tokenizer, endIds, device, dtype }, native)
  }

  /** Number of parameters, a tied head counted once. */
  get parameterCount(): number {
    return this.#native.parameterCount
  }

  /** Bytes of the weights on the device. */
  get weightBytes(): number {
    return this.#native.weightBytes
  }

  /** Whether this process has its weights; see {@link LoadOptions.weights}. */
  get isHere(): boolean {
    return this.device !== nowhere
  }

  /** Most tokens of a prompt and its completion together. */
  get contextLength(): number {
    return this.config.contextLength
  }

  /**
   * The native handle, for the other files of `lib/model`.
   *
   * @throws DisposedError
   * @internal
   */
  get native(): NativeModel {
    if (this.#disposal !== undefined) throw new DisposedError(`Model "${this.source}"`)
    return this.#native
  }

  /**
   * Ties a policy's life to the model's.
   *
   * @throws DisposedError
   * @internal
   */
  adopt(child: Child): void {
    if (this.#disposal !== undefined) throw new DisposedError(`Model "${this.source}"`)
    this.#children.add(child)
  }

  /** Undoes {@link adopt}. @internal */
  release(child: Child): void {
    this.#children.delete(child)
  }

  /** Frees the model and its policies once running calls have ended; idempotent. */
  dispose(): Promise<void> {
    this.#disposal ??= (async () => {
      await Promise.all([...this.#children].map((child) => child.dispose()))
      await this.#native.dispose()
    })()
    return this.#disposal
  }

  /** What `await using` calls: `dispose()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}

interface ModelFields {
  source: string
  folder: string
  hub: Model['hub']
  config: ModelConfig
  tokenizer: Tokenizer | null
  endIds: readonly number[]
  device: string
  dtype: 'float32' | 'bfloat16'
  native: NativeModel
}

function chosenDtype(dtype: LoadOptions['dtype'], config: ModelConfig): 'float32' | 'bfloat16' {
  if (dtype !== undefined && dtype !== 'auto') return dtype
  return config.dtype === 'bfloat16' ? 'bfloat16' : 'float32'
}

// A device in software is used by those who name it: it shows errors, slowly. Each rank of a machine takes a GPU of its own.
function defaultDevice(): string {
  const { cuda, variant } = loadAddon().info()
  return cuda.available && variant !== softwareVariant ? `cuda:${placeOfProcess()?.localRank ?? 0}` : 'cpu'
}

async function loadTokenizer(folder: string): Promise<Tokenizer | null> {
  try {
    return await Tokenizer.load(folder)
  } catch (error) {
    if (error instanceof MagrpoError && error.code === 'ERR_TOKENIZER_MISSING') return null
    throw error
  }
}

/** Checkpoints may hold what is derived; anything else that would be left unread is refused. */
function needed<T extends { name: string; file: string }>(tensors: T[], config: ModelConfig): T[] {
  const known = tensorNames(config)
  return tensors.filter(({ name, file }) => {
    if (name.endsWith('rotary_emb.inv_freq')) return false
    if (!known.has(name))
      throw new ModelFormatError(
        'ERR_MODEL_UNSUPPORTED',
        `${file} holds a tensor "${name}" that a ${config.architecture} model of this config.json does not have.`,
        { details: { file, tensor: name } },
      )
    return true
  })
}
