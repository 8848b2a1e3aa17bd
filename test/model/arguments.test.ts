/** What calls refuse, by code and by name; nothing is computed with arguments that make no sense. */
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { type MagrpoError, OutOfMemoryError } from '../../lib/base/errors.ts'
import { generateBatch } from '../../lib/model/generate.ts'
import type { Model } from '../../lib/model/model.ts'
import { Policy, type PolicyGroup } from '../../lib/model/policy.ts'
import type { Sampling } from '../../lib/model/sampling.ts'
import type { StepOptions } from '../../lib/model/step-options.ts'
import type { RandomStream } from '../../lib/model/types.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { rejectsWith } from '../support/errors.ts'
import { setEnvironment } from '../support/fake-hub.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'
import { tinyModel } from '../support/tiny-model.ts'

type Code = MagrpoError['code']

const base = async (t: ExecutionContext, tokenizer = false) =>
  Policy.base(await openModel(t, tinyModel({ tokenizer, config: { max_position_embeddings: 32 } })))

const ids = (...values: number[]) => Int32Array.from(values)
const repeated = (count: number) => new Int32Array(count).fill(3)

const prompts: [name: string, prompt: Int32Array, code: Code, says: string[]][] = [
  ['empty', ids(), 'ERR_EMPTY_PROMPT', ['prompt 1']],
  ['as long as the context', repeated(32), 'ERR_PROMPT_TOO_LONG', ['prompt 1', '32']],
  ['longer than the context', repeated(1000), 'ERR_PROMPT_TOO_LONG', ['prompt 1', '1000', 'Shorten']],
  ['with an id as large as the vocabulary', ids(5, 128), 'ERR_TOKEN_RANGE', ['0 to 127', '128']],
  ['with a negative id', ids(-1), 'ERR_TOKEN_RANGE', ['0 to 127', '-1']],
]

for (const [name, prompt, code, says] of prompts)
  test(`a prompt ${name}`, async (t) => {
    const policy = await base(t)
    await rejectsWith(t, () => policy.generate([ids(1, 2), prompt]), code, ...says)
    const group = (promptIds: Int32Array) => ({ promptIds, completions: [{ ids: ids(1) }] })
    await rejectsWith(t, () => policy.logProbs([group(ids(1, 2)), group(prompt)]), code, ...says)
  })

test('text for a model without a tokenizer', async (t) => {
  const policy = await base(t)
  for (const prompt of ['text', [{ role: 'user' as const, content: 'text' }]])
    await rejectsWith(
      t,
      () => policy.generate([prompt]),
      'ERR_TOKENIZER_MISSING',
      'tokenizer.json',
      policy.model.source,
    )
  await rejectsWith(t, () => policy.generate([ids(1)], { stop: ['x'] }), 'ERR_TOKENIZER_MISSING', 'Stop strings')
  const [generation] = await policy.generate([ids(1)], { maxNewTokens: 2 })
  t.is(generation!.samples[0]!.text, null)
})

test('empty text, chats without a template', async (t) => {
  const policy = await base(t, true)
  await rejectsWith(t, () => policy.generate(['']), 'ERR_EMPTY_PROMPT', 'prompt 0')
  await rejectsWith(t, () => policy.generate([[{ role: 'user', content: 'x' }]]), 'ERR_CHAT_TEMPLATE')
  await rejectsWith(t, () => policy.generate(['x'.repeat(40)]), 'ERR_PROMPT_TOO_LONG', '40')
})

test('text that the model has no id for is refused before anything is computed', async (t) => {
  // The tokenizer knows 128 ids, the model half of them.
  const model = await openModel(t, tinyModel({ tokenizer: true }))
  const [generation] = await Policy.base(model).generate(['~'], { maxNewTokens: 1 })
  t.deepEqual([...generation!.promptIds], [126])
  await rejectsWith(t, () => Policy.base(model).generate([ids(999)]), 'ERR_TOKEN_RANGE', '999')
})

const samplings: [options: Sampling, code: Code, says: string][] = [
  [{ temperature: -0.1 }, 'ERR_CONFIG', 'temperature'],
  [{ temperature: Number.NaN }, 'ERR_CONFIG', 'temperature'],
  [{ temperature: Number.POSITIVE_INFINITY }, 'ERR_CONFIG', 'temperature'],
  [{ topK: -1 }, 'ERR_CONFIG', 'topK'],
  [{ topK: 1.5 }, 'ERR_CONFIG', 'topK'],
  [{ topP: 0 }, 'ERR_CONFIG', 'topP'],
  [{ topP: 1.1 }, 'ERR_CONFIG', 'topP'],
  [{ minP: -0.1 }, 'ERR_CONFIG', 'minP'],
  [{ minP: 2 }, 'ERR_CONFIG', 'minP'],
  [{ repetitionPenalty: 0 }, 'ERR_CONFIG', 'repetitionPenalty'],
  [{ repetitionPenalty: Number.NaN }, 'ERR_CONFIG', 'repetitionPenalty'],
  [{ maxNewTokens: 0 }, 'ERR_CONFIG', 'maxNewTokens'],
  [{ maxNewTokens: 1.5 }, 'ERR_CONFIG', 'maxNewTokens'],
  [{ stopIds: [128] }, 'ERR_TOKEN_RANGE', '128'],
  [{ stopIds: [1.5] }, 'ERR_CONFIG', '1.5'],
  [{ stop: [''] }, 'ERR_CONFIG', 'stop.0'],
]

for (const [options, code, says] of samplings)
  test(`sampling out of range: ${Object.entries(options)[0]!.map(String).join(' ')}`, async (t) => {
    const policy = await base(t, true)
    await rejectsWith(t, () => policy.generate([ids(1)], options), code, says)
  })

for (const [name, stream] of Object.entries<Partial<RandomStream>>({
  'a negative seed': { seed: -1 },
  'a seed of 2^32': { seed: 2 ** 32 },
  'half a step': { step: 0.5 },
  'an agent that is no number': { agent: Number.NaN },
  'samples beyond 2^32': { sample: 2 ** 32 - 1 },
}))
  test(`a random stream with ${name}`, async (t) => {
    const policy = await base(t)
    const says = `stream.${Object.keys(stream)[0]}`
    const code = stream.sample === undefined ? 'ERR_CONFIG' : 'ERR_ARGUMENT'
    await rejectsWith(t, () => policy.generate([ids(1)], { stream, count: 2, maxNewTokens: 1 }), code, says)
  })

for (const count of [0, -1, 1.5, Number.NaN])
  test(`${count} samples`, async (t) => {
    const policy = await base(t)
    await rejectsWith(t, () => policy.generate([ids(1)], { count }), 'ERR_CONFIG', 'count', String(count))
  })

test.serial('more completions than memory has room for are an error before anything is made', async (t) => {
  const policy = await base(t)
  setEnvironment(t, { MAGRPO_MEMORY_LIMIT: '1GiB' })
  const many = () => policy.generate([ids(1)], { count: 1e9 })
  await rejectsWith(t, many, 'ERR_OUT_OF_MEMORY', '1000000000 completions', 'MAGRPO_MEMORY_LIMIT', 'maxNewTokens')
  const [few] = await policy.generate([ids(1)], { count: 2 })
  t.is(few!.samples.length, 2)
})

test.serial('adapters that decode side by side have to fit together; equal prompts count once', async (t) => {
  const model = await openModel(t, tinyModel())
  const policies = await Promise.all([1, 2].map((seed) => Policy.lora(model, { rank: 2, seed })))
  const stream = { seed: 0, step: 0, agent: 0, prompt: 0, sample: 0 }
  const request = (policy: Policy, count: number) => ({ policy, prompt: ids(1, 2, 3), count, stream })
  const sampling = { maxNewTokens: 8, stopIds: [] }
  const bytesOf = async (requests: ReturnType<typeof request>[]) => {
    setEnvironment(t, { MAGRPO_MEMORY_LIMIT: '1' })
    const error = await t.throwsAsync(generateBatch(requests, sampling), { instanceOf: OutOfMemoryError })
    return error.details.bytes as number
  }
  const [first, second] = policies as [Policy, Policy]
  const one = await bytesOf([request(first, 20_000)])
  for (const threads of [1, 2]) {
    loadAddon().setThreads(threads)
    const both = await bytesOf([request(first, 20_000), request(second, 20_000)])
    t.true(both > 1.9 * one && both < 2.1 * one, `${threads} threads: ${both} and ${one}`)
  }
  loadAddon().setThreads(1)
  const many = Array.from({ length: 20_000 }, () => request(first, 1))
  t.is(await bytesOf(many), one)
})

test.serial('an adapter, or masters, that do not fit are an error before they are made', async (t) => {
  const [model, narrow] = [await openModel(t, tinyModel()), await openModel(t, tinyModel(), { dtype: 'bfloat16' })]
  setEnvironment(t, { MAGRPO_MEMORY_LIMIT: '50MiB' })
  await rejectsWith(t, () => Policy.lora(model, { rank: 1e6 }), 'ERR_OUT_OF_MEMORY', 'rank 1000000', 'Lower its size')
  const small = await Policy.lora(model, { rank: 2 })
  await rejectsWith(
    t,
    () => small.attachValueHead({ hiddenSize: 1e7 }),
    'ERR_OUT_OF_MEMORY',
    'a value head',
    'hiddenSize',
  )
  // Small weights are made without a look at the memory; these stand for large ones.
  const large = Object.defineProperty(Object.create(narrow), 'weightBytes', { value: 2 ** 30 }) as Model
  await rejectsWith(t, () => Policy.full(large), 'ERR_OUT_OF_MEMORY', 'masters', '2.0 GiB')
})

for (const [what, prompt, code, says] of [
  ['numbers in a plain list', [1, 2, 3], 'ERR_ARGUMENT', 'Int32Array'],
  ['a number', 7, 'ERR_ARGUMENT', 'Int32Array'],
  ['an id beyond the vocabulary', ids(1, 1e6), 'ERR_TOKEN_RANGE', 'position 1 of prompt 1'],
] as const)
  test(`a prompt of ${what}`, async (t) => {
    const policy = await base(t)
    await rejectsWith(t, () => policy.generate([ids(1), prompt as Int32Array]), code, says)
  })

for (const sampling of [{ stop: 'abc' }, { stop: [7] }, { stop: null }, { stopIds: 5 }])
  test(`sampling with ${JSON.stringify(sampling)}`, async (t) => {
    const policy = await base(t)
    const name = Object.keys(sampling)[0]!
    await rejectsWith(t, () => policy.generate([ids(1)], sampling as object), 'ERR_CONFIG', name)
  })

test('values asked for at a place there is none', async (t) => {
  const policy = await base(t)
  const group = { promptIds: ids(1), completions: [], valueAt: 'nowhere' as 'prompt' }
  await rejectsWith(t, () => policy.logProbs([group]), 'ERR_ARGUMENT', 'valueAt', 'nowhere')
})

test('nothing to do is done', async (t) => {
  const policy = await base(t)
  t.deepEqual(await policy.generate([]), [])
  t.deepEqual(await policy.logProbs([]), [])
  const [none] = await policy.logProbs([{ promptIds: ids(1), completions: [] }])
  t.deepEqual(none!.logProbs, [])
  const [empty] = await policy.logProbs([{ promptIds: ids(1), completions: [{ ids: ids() }, { ids: ids(2) }] }])
  t.deepEqual(
    empty!.logProbs.map(({ length }) => length),
    [0, 1],
  )
})

const passes: [name: string, completion: PolicyGroup['completions'][number], code: Code, says: string][] = [
  ['weights of another length', { ids: ids(1, 2), weights: new Float32Array(3) }, 'ERR_ARGUMENT', '2'],
  ['a weight of NaN', { ids: ids(1), weights: Float32Array.of(Number.NaN) }, 'ERR_ARGUMENT', 'finite'],
  [
    'a weight of infinity',
    { ids: ids(1), weights: Float32Array.of(Number.POSITIVE_INFINITY) },
    'ERR_ARGUMENT',
    'finite',
  ],
  ['an id out of range', { ids: ids(1, 5000), weights: new Float32Array(2) }, 'ERR_TOKEN_RANGE', '5000'],
  ['more tokens than the context', { ids: repeated(127) }, 'ERR_PROMPT_TOO_LONG', '129'],
]

for (const [name, completion, code, says] of passes)
  test(`a training pass with ${name} leaves no gradient`, async (t) => {
    const policy = await Policy.full(await openModel(t, goldenModel('qwen3-tied')))
    const fine = { ids: ids(1, 2), weights: Float32Array.of(1, 1) }
    const pass = () => policy.accumulate([{ promptIds: ids(1, 2), completions: [fine, completion] }])
    await rejectsWith(t, pass, code, says)
    t.is((await policy.step({ learningRate: 0 })).gradNorm, 0)
  })

test('a completion may fill the context to its last token', async (t) => {
  const policy = await base(t)
  const [generation] = await policy.generate([ids(1, 2)], { maxNewTokens: 100, stopIds: [] })
  const completion = generation!.samples[0]!
  t.is(completion.ids.length, 30)
  const [scores] = await policy.logProbs([{ promptIds: ids(1, 2), completions: [{ ids: completion.ids }] }])
  t.is(scores!.logProbs[0]!.length, 30)
})

test('the bare base is not trained', async (t) => {
  const policy = await base(t)
  const completions = [{ ids: ids(1), weights: Float32Array.of(1) }]
  await rejectsWith(t, () => policy.accumulate([{ promptIds: ids(1), completions }]), 'ERR_ARGUMENT', 'bare base')
  await rejectsWith(t, () => policy.step({ learningRate: 1 }), 'ERR_ARGUMENT', 'bare base', 'Policy.full')
  await t.notThrowsAsync(() => policy.zeroGrad())
  t.is(policy.parameterCount, 0)
})

const steps: [options: StepOptions, says: string][] = [
  [{ learningRate: Number.NaN }, 'learningRate'],
  [{ learningRate: -1 }, 'learningRate'],
  [{ learningRate: Number.POSITIVE_INFINITY }, 'learningRate'],
  [{ learningRate: 1, betas: [-0.1, 0.9] }, 'betas.0'],
  [{ learningRate: 1, betas: [1, 0.9] }, 'betas.0'],
  [{ learningRate: 1, betas: [0.9, 1] }, 'betas.1'],
  [{ learningRate: 1, epsilon: -1 }, 'epsilon'],
  [{ learningRate: 1, weightDecay: Number.NaN }, 'weightDecay'],
  [{ learningRate: 1, maxGradNorm: -1 }, 'maxGradNorm'],
  [{ learningRate: 1, decay: 'norms' as 'all' }, 'decay'],
  [{} as StepOptions, 'learningRate'],
]

for (const [options, says] of steps)
  test(`a step with ${inspect(options)} (${says})`, async (t) => {
    const policy = await Policy.lora(await openModel(t, goldenModel('qwen3-tied')))
    await rejectsWith(t, () => policy.step(options), 'ERR_CONFIG', says)
  })

test('a policy of one model cannot be used with another', async (t) => {
  const [one, two] = [await openModel(t, tinyModel()), await openModel(t, tinyModel())]
  const native = (await Policy.lora(one)).native!
  const tree = { parent: ids(-1), offset: ids(0, 1), ids: ids(1), policy: ids(0) }
  await t.throwsAsync(async () => two.native.logits(tree, [native], ids(0)), {
    code: 'ERR_ARGUMENT',
    message: /belong/,
  })
})

test('weights that overflow when computed with are reported, not sampled from', async (t) => {
  const policy = await Policy.full(await openModel(t, goldenModel('llama')))
  const completions = [{ ids: ids(1, 2), weights: Float32Array.of(1, 1) }]
  await policy.accumulate([{ promptIds: ids(1), completions }])
  await policy.step({ learningRate: 1e13 })
  for (const sampling of [{}, { temperature: 0 }, { topK: 5 }, { topP: 0.5 }, { repetitionPenalty: 2 }])
    await rejectsWith(t, () => policy.generate([ids(1, 2)], sampling), 'ERR_NON_FINITE', 'logits')
})
