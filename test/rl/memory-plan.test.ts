import test from 'ava'
import { OutOfMemoryError } from '../../lib/base/errors.ts'
import {
  activationBytesPerToken,
  adapterParameters,
  cacheBytesPerToken,
  keptBytesPerToken,
  logitBytes,
  momentBytes,
} from '../../lib/model/memory-terms.ts'
import { freeMemoryOf } from '../../lib/native/free-memory.ts'
import { checkMemory, compareWithFree } from '../../lib/rl/memory/fit.ts'
import { type MemoryPartName, planMemory, type Workload } from '../../lib/rl/memory/plan.ts'

const shape = {
  architecture: 'llama',
  vocabSize: 100,
  hiddenSize: 8,
  intermediateSize: 16,
  numLayers: 2,
  numHeads: 2,
  numKvHeads: 1,
  headDim: 4,
  tieWordEmbeddings: true,
}

const model = { shape, dtype: 'float32' as const, device: 'cpu', weightBytes: 1000, contextLength: 64, passesAtOnce: 1 }

const work = (changes: Partial<Workload> = {}): Workload => ({
  models: [model],
  policies: [{ model: 0, kind: 'full', parameters: 250, momentBytes: 2000, stagedBytes: 0, rank: 0 }],
  agents: [{ model: 0, isTrained: true, promptTokens: 10 }],
  promptsPerStep: 1,
  groupSize: 4,
  joints: 4,
  turns: 1,
  maxNewTokens: 5,
  keptBytes: [0],
  maxTokensPerMicroBatch: 2048,
  minibatches: 1,
  gradientCopies: 1,
  checkpointing: false,
  moments: 'float32',
  ranks: 1,
  sharded: false,
  offload: false,
  evaluation: { items: 0, samples: 1 },
  sideBySide: 1,
  processBytes: 7,
  ...changes,
})

function partsOf(workload: Workload): Partial<Record<MemoryPartName, number>> {
  return Object.fromEntries(planMemory(workload).devices[0]!.parts.map(({ name, bytes }) => [name, bytes]))
}

test('what filters keep, at most: a bitmap or three bytes a token of topK, at three places', (t) => {
  const sampling = { topK: 0, topP: 1, minP: 0 }
  t.is(keptBytesPerToken(shape, sampling), 0)
  t.is(keptBytesPerToken(shape, { ...sampling, topP: 0.9 }), 3 * (1 + 13))
  t.is(keptBytesPerToken(shape, { ...sampling, topK: 2 }), 3 * 9)
  t.is(keptBytesPerToken(shape, { ...sampling, topK: 60 }), 3 * (1 + 13))
  // One turn: 4 completions of 5 tokens.
  t.is(partsOf(work({ keptBytes: [42] })).kept, 20 * 42)
  t.is(partsOf(work()).kept, undefined)
})

test('terms, by hand', (t) => {
  t.is(cacheBytesPerToken(shape), 2 * 2 * 4 * 4)
  // 2h + 3Q + 3K + 2I = 16 + 24 + 12 + 32 floats a layer.
  const settings = { dtype: 'float32' as const, rank: 0, checkpointing: false }
  t.is(activationBytesPerToken(shape, settings), 2 * 84 * 4 * 1.15)
  t.is(activationBytesPerToken(shape, { ...settings, rank: 3 }), 2 * (84 + 21) * 4 * 1.15)
  t.is(activationBytesPerToken(shape, { ...settings, checkpointing: true }), (2 * 8 + 3 * 84) * 4 * 1.15)
  t.is(logitBytes(shape, 20), 2 * 20 * 100 * 4)
  t.is(logitBytes({ ...shape, vocabSize: 2 ** 21 }, 20), 2 * 20 * 8192 * 4)
  t.is(logitBytes({ ...shape, vocabSize: 2 ** 21 }, 1000), 2 * 2 ** 22 * 4)
  t.is(adapterParameters(shape, 1), 2 * (2 * 16 + 2 * 12 + 3 * 24))
})

test('moments: 8, 4 or 2 bytes a weight, with two scales for each 256 weights of a tensor that is not small', (t) => {
  t.is(momentBytes([4095, 5000], 'float32'), 8 * 9095)
  t.is(momentBytes([4095, 5000], 'bfloat16'), 4 * 9095)
  t.is(momentBytes([4095, 5000], 'int8'), 8 * 4095 + 2 * 5000 + 2 * 4 * 20)
  t.is(
    partsOf(work({ policies: [{ model: 0, kind: 'full', parameters: 250, momentBytes: 42, stagedBytes: 0, rank: 0 }] }))
      .moments,
    42,
  )
})

test('moments and masters are divided by the ranks that they are spread over, nothing else is', (t) => {
  const halved = { ...model, dtype: 'bfloat16' as const }
  const parts = (ranks: number, sharded: boolean) => partsOf(work({ models: [halved], ranks, sharded }))
  const { masters, moments, ...others } = parts(3, false)
  t.deepEqual([masters, moments], [1000, 2000])
  t.deepEqual(parts(3, true), { masters: Math.ceil(1000 / 3), moments: Math.ceil(2000 / 3), ...others })
})

test('offloaded, moments and masters are on the host, and two buffers of the largest tensor on the device', (t) => {
  const halved = { ...model, dtype: 'bfloat16' as const, device: 'cuda:0' }
  const policies = [{ model: 0, kind: 'full' as const, parameters: 250, momentBytes: 2000, stagedBytes: 60, rank: 0 }]
  const settings = { models: [halved], policies, ranks: 2, sharded: true }
  const [plain] = planMemory(work(settings)).devices
  const [device, host, ...others] = planMemory(work({ ...settings, offload: true })).devices
  t.deepEqual(others, [])
  const sizes = (of: typeof plain) => Object.fromEntries(of!.parts.map(({ name, bytes }) => [name, bytes]))
  const { masters, moments, ...rest } = sizes(plain)
  t.deepEqual([masters, moments], [500, 1000])
  t.deepEqual(sizes(device), { ...rest, staging: 120 })
  t.is(host!.device, 'cpu')
  t.deepEqual(sizes(host), { process: 7, masters: 500, moments: 1000 })
})

test('parts of a small step, by hand', (t) => {
  const perToken = activationBytesPerToken(shape, { dtype: 'float32', rank: 0, checkpointing: false })
  const { decoding, ...parts } = partsOf(work())
  t.true(decoding! > 0)
  t.deepEqual(parts, {
    process: 7,
    weights: 1000,
    moments: 2000,
    cache: (10 + 4 * 5) * 64,
    gradients: 1000,
    activations: 30 * perToken,
    logits: 2 * 20 * 100 * 4,
  })
  const plan = planMemory(work())
  t.is(plan.rows, 4)
  t.is(plan.passTokens, 30)
})

test('a completion is planned up to the end of the context, a pass up to the micro-batch or one group', (t) => {
  t.is(partsOf(work({ maxNewTokens: 1000 })).cache, (10 + 4 * 54) * 64)
  t.is(planMemory(work({ promptsPerStep: 10 })).passTokens, 300)
  t.is(planMemory(work({ promptsPerStep: 10, maxTokensPerMicroBatch: 100 })).passTokens, 100)
  t.is(planMemory(work({ promptsPerStep: 10, maxTokensPerMicroBatch: 1 })).passTokens, 30)
})

test('several passes keep the last one’s gradient beside the sum', (t) => {
  const untied = { ...model, shape: { ...shape, tieWordEmbeddings: false } }
  const one = partsOf(work({ models: [untied] })).gradients
  t.is(one, 1000)
  t.is(partsOf(work({ models: [untied], promptsPerStep: 2, maxTokensPerMicroBatch: 30 })).gradients, 2000)
})

test('each turn branches again, and its prompts hold what was said before', (t) => {
  const plan = planMemory(work({ turns: 2 }))
  t.is(plan.rows, 16)
  t.is(plan.promptTokens, 15)
  t.is(partsOf(work({ turns: 2 })).cache, 4 * (15 + 4 * 5) * 64)
})

test('bfloat16 weights that are trained have float32 masters, adapters are float32', (t) => {
  const bfloat16 = { ...model, dtype: 'bfloat16' as const, weightBytes: 500 }
  t.is(partsOf(work({ models: [bfloat16] })).masters, 1000)
  const lora = partsOf(
    work({
      models: [bfloat16],
      policies: [{ model: 0, kind: 'lora', parameters: 50, momentBytes: 400, stagedBytes: 0, rank: 1 }],
    }),
  )
  t.is(lora.masters, undefined)
  t.is(lora.weights, 500 + 200)
})

test('models that compute side by side have their activations together', (t) => {
  const two = {
    models: [model, model],
    policies: [0, 1].map((index) => ({
      model: index,
      kind: 'full' as const,
      parameters: 250,
      momentBytes: 2000,
      stagedBytes: 0,
      rank: 0,
    })),
    agents: [0, 1].map((index) => ({ model: index, isTrained: true, promptTokens: 10 })),
  }
  const alone = partsOf(work()).activations!
  t.is(partsOf(work(two)).activations, alone)
  t.is(partsOf(work({ ...two, sideBySide: 2 })).activations, 2 * alone)
})

test('a pass is shared by the policies of a model, whether one after the other or side by side', (t) => {
  const policies = [0, 1].map(() => ({
    model: 0,
    kind: 'lora' as const,
    parameters: 50,
    momentBytes: 400,
    stagedBytes: 0,
    rank: 1,
  }))
  // 50 prompts of 10 tokens with 4 completions of 5 for two agents: 3,000 tokens.
  const team = {
    policies,
    agents: [0, 1].map(() => ({ model: 0, isTrained: true, promptTokens: 10 })),
    promptsPerStep: 50,
  }
  const plan = (changes: Partial<Workload>) => planMemory(work({ ...team, ...changes }))
  const sideBySide = [{ ...model, passesAtOnce: 2 }]
  t.is(plan({ maxTokensPerMicroBatch: null }).passTokens, 1024)
  t.is(plan({ maxTokensPerMicroBatch: 600 }).passTokens, 600)
  t.is(plan({ maxTokensPerMicroBatch: null, models: sideBySide }).passTokens, 1024)
  t.is(plan({ maxTokensPerMicroBatch: 600, models: sideBySide }).passTokens, 300)
  const activations = (changes: Partial<Workload>) => partsOf(work({ ...team, ...changes })).activations!
  t.is(activations({ maxTokensPerMicroBatch: 600, models: sideBySide }), activations({ maxTokensPerMicroBatch: 600 }))
})

test('an evaluation with more rows than a step decides the cache', (t) => {
  const evaluation = { items: 50, samples: 1 }
  t.is(partsOf(work({ evaluation })).cache, 50 * (10 + 5) * 64)
  t.true(planMemory(work({ evaluation })).facts.isEvaluation)
})

const limit = (bytes: number) => () => ({ bytes, from: 'MAGRPO_MEMORY_LIMIT' as const, heldBytes: 0 })

test('what fits is silent, what is close is told, what is too much is refused with its parts', (t) => {
  const plan = planMemory(work())
  const { peakBytes } = plan.devices[0]!
  t.is(checkMemory(plan, limit(peakBytes / 0.84)), null)
  t.regex(
    checkMemory(plan, limit(peakBytes / 0.86))!,
    /may take up to .* are free \(MAGRPO_MEMORY_LIMIT\)\. The largest/,
  )
  const error = t.throws(() => checkMemory(plan, limit(peakBytes - 1)), { instanceOf: OutOfMemoryError })
  t.is(error.code, 'ERR_OUT_OF_MEMORY')
  for (const name of ['weights', 'moments', 'gradients', 'activations', 'logits'])
    t.regex(error.message, new RegExp(`^  ${name} +\\d`, 'm'))
  t.is(error.details.plan, plan)
})

test('what the process holds already counts as free, but not within a limit the user names', (t) => {
  const plan = planMemory(work())
  t.is(compareWithFree(plan, () => ({ bytes: 1000, from: 'system', heldBytes: 24 }))[0]!.freeBytes, 1024)
  t.true(freeMemoryOf('cpu', { env: {} }).heldBytes > 10 * 2 ** 20)
  const named = { MAGRPO_MEMORY_LIMIT: '1000', MAGRPO_CUDA_MEMORY_LIMIT: '2KiB' }
  t.deepEqual(freeMemoryOf('cpu', { env: named }), { bytes: 1000, from: 'MAGRPO_MEMORY_LIMIT', heldBytes: 0 })
  t.deepEqual(freeMemoryOf('cuda:0', { env: named }), { bytes: 2048, from: 'MAGRPO_CUDA_MEMORY_LIMIT', heldBytes: 0 })
})

test('each device is judged by what is free there; the worst decides', (t) => {
  const models = [model, { ...model, device: 'cuda:0' }]
  const policies = models.map((_, index) => ({
    model: index,
    kind: 'full' as const,
    parameters: 50,
    momentBytes: 400,
    stagedBytes: 0,
    rank: 0,
  }))
  const plan = planMemory(work({ models, policies }))
  const peakOf = (name: string) => plan.devices.find(({ device }) => device === name)!.peakBytes
  const free = (cuda: number) => (device: string) =>
    device === 'cpu'
      ? { bytes: 2 * peakOf('cpu'), from: 'system' as const, heldBytes: 0 }
      : { bytes: cuda, from: 'device' as const, heldBytes: 0 }
  t.is(checkMemory(plan, free(2 * peakOf('cuda:0'))), null)
  t.regex(checkMemory(plan, free(Math.round(1.1 * peakOf('cuda:0'))))!, /are free on the device\. The largest/)
  const error = t.throws(() => checkMemory(plan, free(peakOf('cuda:0') - 1)), { instanceOf: OutOfMemoryError })
  t.regex(error.message, /MAGRPO_CUDA_MEMORY_LIMIT=SIZE/)
})

test('where the process alone is too large, no setting is named', (t) => {
  const error = t.throws(() => checkMemory(planMemory(work({ processBytes: 5000 })), limit(4999)))
  t.regex(error!.message, /The process alone.* no setting of the run/)
})

const advice: [string, Partial<Workload>, RegExp][] = [
  ['weights', { models: [{ ...model, weightBytes: 1e9 }] }, /team\.adapter with a rank instead of full/],
  [
    'weights',
    {
      models: [{ ...model, weightBytes: 1e9 }],
      policies: [{ model: 0, kind: 'lora', parameters: 50, momentBytes: 400, stagedBytes: 0, rank: 1 }],
    },
    /team\.dtype/,
  ],
  [
    'moments',
    { policies: [{ model: 0, kind: 'full', parameters: 1e9, momentBytes: 8e9, stagedBytes: 0, rank: 0 }] },
    /set optimizer\.moments to int8, or train adapters/,
  ],
  [
    'moments',
    { ranks: 2, policies: [{ model: 0, kind: 'full', parameters: 1e9, momentBytes: 8e9, stagedBytes: 0, rank: 0 }] },
    /set optimizer\.sharded, or set optimizer\.moments to int8, or train adapters/,
  ],
  [
    'moments',
    {
      models: [{ ...model, device: 'cuda:0' }],
      policies: [{ model: 0, kind: 'full', parameters: 1e9, momentBytes: 8e9, stagedBytes: 0, rank: 0 }],
    },
    /set optimizer\.offload, or set optimizer\.moments to int8, or train adapters/,
  ],
  [
    'moments',
    {
      moments: 'int8',
      policies: [{ model: 0, kind: 'full', parameters: 1e9, momentBytes: 8e9, stagedBytes: 0, rank: 0 }],
    },
    /is moments, .*: train adapters/,
  ],
  [
    'activations',
    { promptsPerStep: 100, maxNewTokens: 20 },
    /2048 tokens; lower maxTokensPerMicroBatch, or set activationCheckpointing/,
  ],
  ['activations', { groupSize: 1000 }, /lower algorithm\.groupSize or sampling\.maxNewTokens/],
  ['cache', { promptsPerStep: 1e6, groupSize: 1, maxNewTokens: 50 }, /lower promptsPerStep, algorithm\.groupSize/],
  ['cache', { turns: 6, joints: 16 }, /lower algorithm\.turns/],
  ['cache', { evaluation: { items: 1e6, samples: 1 } }, /lower evalItems/],
]

for (const [name, changes, expected] of advice)
  test(`advice for ${name}: ${expected.source}`, (t) => {
    // Few logits, so that decoding does not hide the cache.
    const models = (changes.models ?? [model]).map((each) => ({ ...each, shape: { ...shape, vocabSize: 4 } }))
    const error = t.throws(() => checkMemory(planMemory(work({ ...changes, models })), limit(8)))
    t.regex(error!.message.split('\n')[0]!, expected)
    t.true(['cache', 'decoding'].includes(name) || (error as OutOfMemoryError).details.largest === name)
  })
