/**
 * Generation over policies and models. Requests are sorted by model; all policies over one model go to the core in one token
 * tree, where a prompt that several samples share is one segment.
 */

import { expectList, expectObject } from '../base/arguments.ts'
import { MagrpoError } from '../base/errors.ts'
import { abortSignal, callback, defined, flag } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import type { NativeRow, NativeSampling } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { cutAtStop } from '../text/stop-strings.ts'
import { type Batch, checkGeneration } from './check-memory.ts'
import { expectPolicy } from './check-policy.ts'
import { checkDeterministic } from './deterministic.ts'
import type { Model } from './model.ts'
import { type Sampling, samplingDefaults, samplingSection } from './sampling.ts'
import { divide, runCalls } from './side-by-side.ts'
import { checkPrompt, TreeBuilder } from './token-tree.ts'
import type { GenerateRequest, GenerateStats, Generation, PolicyRef, Prompt, RandomStream, Sample } from './types.ts'

/** New tokens of one sample. */
export interface TokenEvent {
  /** Number of the request. */
  request: number
  /** Number of the sample within it. */
  sample: number
  ids: number[]
}

/** A sample that has ended. */
export interface SampleEvent {
  /** Number of the request. */
  request: number
  /** Number of the sample within it. */
  sample: number
  value: Sample
}

/** What {@link generateBatch} may be told. */
export interface GenerateBatchOptions {
  /** Aborting it rejects with its reason; what was begun is dropped. */
  signal?: AbortSignal
  /**
   * Make the log-probabilities of a sample the same bit for bit whatever else is in the batch; prompts are then read one by one. On the
   * CPU only. Defaults to `false`.
   */
  deterministic?: boolean
  /** Gets each token as it comes. */
  onTokens?(events: TokenEvent[]): void
  /** Gets each sample as it ends, while others go on. */
  onSample?(event: SampleEvent): void
}

const batchSection = section({
  signal: abortSignal(),
  deterministic: flag().default(false),
  onTokens: callback<(events: TokenEvent[]) => void>(),
  onSample: callback<(event: SampleEvent) => void>(),
} satisfies FieldsOf<GenerateBatchOptions>)

/**
 * Samples for all requests, policies of one model in one native batch; models side by side, a thread each, where
 * that is as quick or tokens are asked for as they come, else one after the other.
 *
 * A completion ends at the first end token or stop string, at `maxNewTokens`, or where the model's context is full
 * (`finish: 'length'` for both). A sample depends on its stream and its prompt alone, not on what else is in the batch.
 *
 * @param options.deterministic make the log-probabilities of a sample the same bit for bit whatever else is in the batch; prompts
 *   are then read one by one; on the CPU only
 * @param options.onTokens gets each token as it comes; what it (or `onSample`) throws is an uncaught exception of the process
 * @param options.onSample gets each sample as it ends, while others go on; the same objects are in the result
 * @returns one generation a request, in order
 * @throws ConfigError for sampling or options that are unknown or out of range
 * @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_PROMPT_TOO_LONG`, `ERR_TOKEN_RANGE`, `ERR_TOKENIZER_MISSING`, `ERR_ARGUMENT`;
 *   OutOfMemoryError where the batch does not fit the memory that is free
 */
export async function generateBatch(
  requests: readonly GenerateRequest[],
  sampling: Sampling,
  options: GenerateBatchOptions = {},
): Promise<{ generations: Generation[]; stats: GenerateStats }> {
  const { signal, deterministic, onTokens, onSample } = resolve(batchSection, options, 'The options of generateBatch')
  resolve(samplingSection, sampling, 'The sampling')
  checkRequests(requests)
  const generations = new Array<Generation>(requests.length)
  const stats: GenerateStats = { prefillTokens: 0, newTokens: 0, seconds: 0 }
  const start = performance.now()
  const { parts, oneThread } = divide(requests, 'decoding')
  const sideBySide = oneThread || onTokens !== undefined
  const encoded = parts.map(({ model, numbers }) => {
    if (deterministic) checkDeterministic(model)
    return numbers.map((number) => encodePrompt(model, requests[number]!.prompt, number))
  })
  // Before anything is made a row at a time: a count may be of any size.
  checkGeneration(
    parts.map(({ model, numbers }, part) =>
      batchOf(
        model,
        numbers.map((number, index) => ({ ...requests[number]!, ids: encoded[part]![index]! })),
        sampling,
      ),
    ),
    { atOnce: sideBySide },
  )
  const calls = parts.map(({ model, numbers }, part) => {
    const promptIds = encoded[part]!
    const tree = new TreeBuilder()
    const rows: { request: number; sample: number }[] = []
    const segments: number[] = []
    const limits: number[] = []
    const streams: number[] = []
    for (const [index, number] of numbers.entries()) {
      const { policy, count, stream } = requests[number]!
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
    // What was told of early is not decoded a second time.
    const told: Sample[] = []
    const onRow =
      onSample &&
      ((row: number, result: NativeRow) => {
        const value = sampleOf(model, result, sampling)
        told[row] = value
        onSample({ ...rows[row]!, value })
      })
    const run = async () => {
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
              oneThread,
              deterministic,
              onTokens: report,
              onRow,
            },
            job,
          ),
        signal,
      )
      stats.prefillTokens += result.prefillTokens
      for (const [index, number] of numbers.entries())
        generations[number] = { promptIds: promptIds[index]!, samples: [] }
      for (const [row, { request }] of rows.entries()) {
        const sample = told[row] ?? sampleOf(model, result.rows[row]!, sampling)
        generations[request]!.samples.push(sample)
        stats.newTokens += sample.ids.length
      }
    }
    return { model, run }
  })
  await runCalls(calls, { sideBySide })
  stats.seconds = (performance.now() - start) / 1000
  return { generations, stats }
}

/** @throws MagrpoError `ERR_ARGUMENT` for what is no list of requests; prompts and counts are looked at later */
function checkRequests(requests: readonly GenerateRequest[]): void {
  expectList(requests, 'requests of generateBatch')
  for (const [number, request] of requests.entries()) {
    expectObject(request, `request ${number}`)
    expectPolicy(request.policy, `policy of request ${number}`)
    expectObject(request.stream, `stream of request ${number}`)
  }
}

function countOf({ count }: GenerateRequest): number {
  if (Number.isInteger(count) && count > 0) return count
  throw new MagrpoError('ERR_ARGUMENT', `Expected a positive count of samples but received ${count}.`)
}

/** What is decoded for some requests of one model; equal prompts of a policy are one. */
function batchOf(
  model: Model,
  requests: readonly (GenerateRequest & { ids: Int32Array })[],
  sampling: Sampling,
): Batch {
  const batch = { model, rows: 0, promptTokens: 0, tokens: 0 }
  const seen = new Map<PolicyRef, Set<string>>()
  for (const request of requests) {
    const { policy, ids } = request
    const count = countOf(request)
    batch.rows += count
    batch.tokens += count * Math.min(maxNewTokens(sampling), model.contextLength - ids.length)
    const prompts = seen.get(policy) ?? new Set()
    seen.set(policy, prompts)
    const key = ids.join(',')
    if (prompts.has(key)) continue
    prompts.add(key)
    batch.promptTokens += ids.length
    batch.tokens += ids.length
  }
  return batch
}

function encodePrompt(model: Model, prompt: Prompt, number: number): Int32Array {
  const ids = promptIds(model, prompt)
  checkPrompt(model, ids, number)
  return ids
}

function promptIds(model: Model, prompt: Prompt): Int32Array {
  if (prompt instanceof Int32Array) return prompt
  if (
    typeof prompt !== 'string' &&
    !(Array.isArray(prompt) && prompt.every((message) => typeof message === 'object' && message !== null))
  )
    throw new MagrpoError(
      'ERR_ARGUMENT',
      'Expected text, a list of chat messages or an Int32Array of token ids as a prompt but received ' +
        `${Array.isArray(prompt) ? 'a list of something else' : typeof prompt}.`,
    )
  if (model.tokenizer === null)
    throw new MagrpoError(
      'ERR_TOKENIZER_MISSING',
      `Expected token ids as a prompt: model "${model.source}" has no tokenizer.json, so text cannot be encoded.`,
    )
  return typeof prompt === 'string' ? model.tokenizer.encode(prompt) : model.tokenizer.encodeChat(prompt)
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

function maxNewTokens({ maxNewTokens = samplingDefaults.maxNewTokens }: Sampling): number {
  return maxNewTokens
}

function nativeSampling(model: Model, sampling: Sampling): NativeSampling {
  const { stop = [], stopIds: given } = sampling
  if (stop.length > 0 && model.tokenizer === null)
    throw new MagrpoError('ERR_TOKENIZER_MISSING', `Stop strings need a tokenizer, but "${model.source}" has none.`)
  const stopIds: readonly number[] = given ?? model.endIds
  const wrong = stopIds.find((id) => !Number.isInteger(id) || id < 0 || id >= model.config.vocabSize)
  if (wrong !== undefined && given !== undefined)
    throw new MagrpoError(
      'ERR_TOKEN_RANGE',
      `Expected stopIds from 0 to ${model.config.vocabSize - 1} for "${model.source}" but received ${wrong}.`,
    )
  const { temperature, topK, topP, minP, repetitionPenalty } = { ...samplingDefaults, ...defined(sampling) }
  return {
    ...{ temperature, topK, topP, minP, repetitionPenalty },
    stopIds: Int32Array.from(stopIds),
    stopStrings: stop.map((text) => Buffer.from(text, 'utf8')),
  }
}

function sampleOf(model: Model, { stopped, ...row }: NativeRow, sampling: Sampling): Sample {
  const { modelLogProbs = row.logProbs, modelEntropies = row.entropies } = row
  const text = textOf(model, row.ids, sampling)
  return { text, ...row, modelLogProbs, modelEntropies, finish: stopped ? 'stop' : 'length' }
}

function textOf(model: Model, ids: Int32Array, { stop = [] }: Sampling): string | null {
  if (model.tokenizer === null) return null
  const text = model.tokenizer.decode(ids)
  return stop.length === 0 ? text : cutAtStop(text, stop).text
}
