/**
 * Batches over policies and models. Requests are sorted by model; all policies over one model go to the core in one token
 * tree, where a prompt that several samples share is one segment.
 */
import { MagrpoError } from '../errors.ts'
import type { NativePolicy, NativeSampling, NativeTokenTree } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { cutAtStop } from '../text/stop-strings.ts'
import type { Model } from './model.ts'
import type { Policy } from './policy.ts'
import type {
  GenerateRequest,
  GenerateStats,
  Generation,
  GroupScores,
  Prompt,
  RandomStream,
  Sample,
  Sampling,
  ScoredGroup,
} from './types.ts'

/** New tokens of one sample. */
export interface TokenEvent {
  /** Number of the request. */
  request: number
  /** Number of the sample within it. */
  sample: number
  ids: number[]
}

/** Tokens of a pass when nothing else is asked for: keeps activations of small models within a few hundred megabytes. */
const defaultMicroBatch = 4096

/**
 * Samples for all requests, policies of one model in one native batch, models side by side.
 *
 * A completion ends at the first end token or stop string, at `maxNewTokens`, or where the model's context is full
 * (`finish: 'length'` for both). A sample depends on its stream and its prompt alone, not on what else is in the batch.
 *
 * @returns one generation a request, in order
 * @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_PROMPT_TOO_LONG`, `ERR_TOKEN_RANGE`, `ERR_TOKENIZER_MISSING`, `ERR_ARGUMENT`
 */
export async function generateBatch(
  requests: readonly GenerateRequest[],
  sampling: Sampling,
  options: { signal?: AbortSignal; onTokens?(events: TokenEvent[]): void } = {},
): Promise<{ generations: Generation[]; stats: GenerateStats }> {
  const { signal, onTokens } = options
  const generations = new Array<Generation>(requests.length)
  const stats: GenerateStats = { prefillTokens: 0, newTokens: 0, seconds: 0 }
  const start = performance.now()
  const settled = await Promise.allSettled(
    byModel(requests).map(async ([model, numbers]) => {
      const promptIds = numbers.map((number) => encodePrompt(model, requests[number]!.prompt, number))
      const tree = new TreeBuilder()
      const rows: { request: number; sample: number }[] = []
      const segments: number[] = []
      const limits: number[] = []
      const streams: number[] = []
      for (const [index, number] of numbers.entries()) {
        const { policy, count, stream } = requests[number]!
        if (!Number.isInteger(count) || count < 1)
          throw new MagrpoError('ERR_ARGUMENT', `Expected a positive count of samples but received ${count}.`)
        const ids = promptIds[index]!
        const segment = tree.root(policy, ids)
        for (let sample = 0; sample < count; sample++) {
          rows.push({ request: number, sample })
          segments.push(segment)
          limits.push(Math.min(maxNewTokens(sampling), model.contextLength - ids.length))
          streams.push(...randomNumbers(stream, sample))
        }
      }
      const report =
        onTokens &&
        ((numbers: Int32Array, ids: Int32Array) =>
          onTokens(Array.from(numbers, (row, i) => ({ ...rows[row]!, ids: [ids[i]!] }))))
      const result = await callNative(
        (job) =>
          model.native.generate(
            {
              tree: tree.build(),
              policies: tree.policies,
              rowSegment: Int32Array.from(segments),
              rowLimit: Int32Array.from(limits),
              rowStream: Uint32Array.from(streams),
              sampling: nativeSampling(model, sampling),
              onTokens: report,
            },
            job,
          ),
        signal,
      )
      stats.prefillTokens += result.prefillTokens
      stats.newTokens += result.ids.length
      for (const [index, number] of numbers.entries())
        generations[number] = { promptIds: promptIds[index]!, samples: [] }
      for (const [row, { request }] of rows.entries()) {
        const [begin, end] = [result.offset[row]!, result.offset[row + 1]!]
        const ids = result.ids.slice(begin, end)
        generations[request]!.samples.push({
          text: textOf(model, ids, sampling),
          ids,
          logProbs: result.logProbs.slice(begin, end),
          entropies: result.entropies.slice(begin, end),
          finish: result.stopped[row] === 1 ? 'stop' : 'length',
        } satisfies Sample)
      }
    }),
  )
  throwFirst(settled)
  stats.seconds = (performance.now() - start) / 1000
  return { generations, stats }
}

/** Log-probabilities and entropies of all groups, in order; nothing is accumulated. */
export function scoreBatch(
  groups: readonly ScoredGroup[],
  options: { signal?: AbortSignal; maxTokensPerMicroBatch?: number } = {},
): Promise<{ scores: GroupScores[]; seconds: number }> {
  return pass(groups, options, false)
}

/**
 * Adds the gradient of Σ wᵢ·log π(tokenᵢ) of all groups to their policies. Weights are used as given: divide them by the
 * divisor of the whole step, so that minibatches, micro-batches and ranks do not change a token's weight.
 *
 * @throws MagrpoError `ERR_ARGUMENT` if a frozen policy has weights other than 0
 */
export function accumulateBatch(
  groups: readonly ScoredGroup[],
  options: { signal?: AbortSignal; maxTokensPerMicroBatch?: number } = {},
): Promise<{ scores: GroupScores[]; seconds: number }> {
  return pass(groups, options, true)
}

async function pass(
  groups: readonly ScoredGroup[],
  options: { signal?: AbortSignal; maxTokensPerMicroBatch?: number },
  withGradient: boolean,
): Promise<{ scores: GroupScores[]; seconds: number }> {
  const { signal, maxTokensPerMicroBatch = defaultMicroBatch } = options
  const scores = groups.map<GroupScores>(() => ({ logProbs: [], entropies: [] }))
  let seconds = 0
  const settled = await Promise.allSettled(
    byModel(groups).map(async ([model, numbers]) => {
      const tree = new TreeBuilder()
      const places: { group: number; begin: number; end: number }[] = []
      const weights: number[] = []
      for (const number of numbers) {
        const { policy, promptIds, completions } = groups[number]!
        checkPrompt(model, promptIds, number)
        const root = tree.root(policy, promptIds)
        while (weights.length < tree.tokens) weights.push(0)
        for (const completion of completions) {
          if (completion.weights !== undefined && completion.weights.length !== completion.ids.length)
            throw new MagrpoError(
              'ERR_ARGUMENT',
              `Expected ${completion.ids.length} weights for a completion but received ${completion.weights.length}.`,
            )
          checkLength(model, promptIds.length + completion.ids.length, number)
          if (withGradient && policy.kind === 'base' && completion.weights?.some((weight) => weight !== 0))
            throw new MagrpoError('ERR_ARGUMENT', 'Expected weights of 0 for the bare base: it cannot be trained.')
          const begin = tree.tokens
          tree.child(root, completion.ids)
          for (let i = 0; i < completion.ids.length; i++) weights.push(completion.weights?.[i] ?? 0)
          places.push({ group: number, begin, end: tree.tokens })
        }
      }
      const scored = new Uint8Array(tree.tokens)
      for (const { begin, end } of places) scored.fill(1, begin, end)
      const request = { tree: tree.build(), policies: tree.policies, scored, maxTokensPerMicroBatch }
      const result = await callNative(
        (job) =>
          withGradient
            ? model.native.accumulate({ ...request, weights: Float32Array.from(weights) }, job)
            : model.native.logProbs(request, job),
        signal,
      )
      seconds += result.seconds
      for (const { group, begin, end } of places) {
        scores[group]!.logProbs.push(result.logProbs.slice(begin, end))
        scores[group]!.entropies.push(result.entropies.slice(begin, end))
      }
    }),
  )
  throwFirst(settled)
  return { scores, seconds }
}

/** Waits for all models before it throws, so that no native call is left running behind an error. */
function throwFirst(settled: PromiseSettledResult<unknown>[]): void {
  for (const result of settled) if (result.status === 'rejected') throw result.reason
}

function byModel(entries: readonly { policy: Policy }[]): [Model, number[]][] {
  const models = new Map<Model, number[]>()
  for (const [number, { policy }] of entries.entries()) {
    const numbers = models.get(policy.model) ?? []
    numbers.push(number)
    models.set(policy.model, numbers)
  }
  return [...models]
}

/** Builds a token tree: equal prompts of one policy become one root. */
class TreeBuilder {
  readonly policies: NativePolicy[] = []
  tokens = 0
  readonly #parent: number[] = []
  readonly #offset: number[] = [0]
  readonly #ids: Int32Array[] = []
  readonly #policy: number[] = []
  readonly #roots = new Map<string, number>()

  root(policy: Policy, ids: Int32Array): number {
    const index = this.#indexOf(policy)
    const key = `${index}:${ids.join(',')}`
    const known = this.#roots.get(key)
    if (known !== undefined) return known
    const segment = this.#add(-1, index, ids)
    this.#roots.set(key, segment)
    return segment
  }

  child(parent: number, ids: Int32Array): number {
    return this.#add(parent, this.#policy[parent]!, ids)
  }

  build(): NativeTokenTree {
    const ids = new Int32Array(this.tokens)
    for (const [segment, part] of this.#ids.entries()) ids.set(part, this.#offset[segment]!)
    return {
      parent: Int32Array.from(this.#parent),
      offset: Int32Array.from(this.#offset),
      ids,
      policy: Int32Array.from(this.#policy),
    }
  }

  #add(parent: number, policy: number, ids: Int32Array): number {
    this.#parent.push(parent)
    this.#policy.push(policy)
    this.#ids.push(ids)
    this.tokens += ids.length
    this.#offset.push(this.tokens)
    return this.#parent.length - 1
  }

  #indexOf(policy: Policy): number {
    const { native } = policy
    if (native === null) return -1
    const index = this.policies.indexOf(native)
    return index >= 0 ? index : this.policies.push(native) - 1
  }
}

function encodePrompt(model: Model, prompt: Prompt, number: number): Int32Array {
  const ids = promptIds(model, prompt)
  checkPrompt(model, ids, number)
  return ids
}

function promptIds(model: Model, prompt: Prompt): Int32Array {
  if (prompt instanceof Int32Array) return prompt
  if (model.tokenizer === null)
    throw new MagrpoError(
      'ERR_TOKENIZER_MISSING',
      `Expected token ids as a prompt: model "${model.source}" has no tokenizer.json, so text cannot be encoded.`,
    )
  return typeof prompt === 'string' ? model.tokenizer.encode(prompt) : model.tokenizer.encodeChat(prompt)
}

function checkPrompt(model: Model, ids: Int32Array, number: number): void {
  if (ids.length === 0)
    throw new MagrpoError('ERR_EMPTY_PROMPT', `Expected at least one token in prompt ${number} but it is empty.`, {
      details: { prompt: number },
    })
  if (ids.length >= model.contextLength)
    throw new MagrpoError(
      'ERR_PROMPT_TOO_LONG',
      `Expected prompt ${number} to leave room in the context of ${model.contextLength} tokens of "${model.source}", but it ` +
        `has ${ids.length}. Shorten it, or leave such items out.`,
      { details: { prompt: number, tokens: ids.length, contextLength: model.contextLength } },
    )
}

function checkLength(model: Model, tokens: number, number: number): void {
  if (tokens <= model.contextLength) return
  throw new MagrpoError(
    'ERR_PROMPT_TOO_LONG',
    `Expected prompt ${number} and its completion to fit the context of ${model.contextLength} tokens of "${model.source}", ` +
      `but they have ${tokens}.`,
    { details: { prompt: number, tokens, contextLength: model.contextLength } },
  )
}

/** A stream as the core takes it; numbers outside 32 bits would wrap, and two streams be one. */
function randomNumbers({ seed, step, agent, prompt, sample }: RandomStream, index: number): number[] {
  const numbers = { seed, step, agent, prompt, sample: sample + index }
  for (const [name, value] of Object.entries(numbers))
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32)
      throw new MagrpoError(
        'ERR_ARGUMENT',
        `Expected an integer from 0 to 2^32 - 1 for stream.${name} but received ${value}.`,
      )
  return Object.values(numbers)
}

function maxNewTokens({ maxNewTokens = 256 }: Sampling): number {
  if (!Number.isInteger(maxNewTokens) || maxNewTokens < 1)
    throw new MagrpoError('ERR_ARGUMENT', `Expected maxNewTokens of 1 or more but received ${maxNewTokens}.`)
  return maxNewTokens
}

function nativeSampling(model: Model, sampling: Sampling): NativeSampling {
  const stop = sampling.stop ?? []
  if (stop.length > 0 && model.tokenizer === null)
    throw new MagrpoError('ERR_TOKENIZER_MISSING', `Stop strings need a tokenizer, but "${model.source}" has none.`)
  const stopIds = sampling.stopIds ?? model.endIds
  const wrong = stopIds.find((id) => !Number.isInteger(id) || id < 0 || id >= model.config.vocabSize)
  if (wrong !== undefined && sampling.stopIds !== undefined)
    throw new MagrpoError(
      'ERR_TOKEN_RANGE',
      `Expected stopIds from 0 to ${model.config.vocabSize - 1} for "${model.source}" but received ${wrong}.`,
    )
  return {
    temperature: sampling.temperature ?? 1,
    topK: sampling.topK ?? 0,
    topP: sampling.topP ?? 1,
    minP: sampling.minP ?? 0,
    repetitionPenalty: sampling.repetitionPenalty ?? 1,
    stopIds: Int32Array.from(stopIds),
    stopStrings: stop.map((text) => Buffer.from(text, 'utf8')),
  }
}

function textOf(model: Model, ids: Int32Array, { stop = [] }: Sampling): string | null {
  if (model.tokenizer === null) return null
  const text = model.tokenizer.decode(ids)
  return stop.length === 0 ? text : cutAtStop(text, stop).text
}
