import test, { type ExecutionContext } from 'ava'
import { generateBatch } from '../../lib/model/generate.ts'
import type { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { accumulateBatch } from '../../lib/model/score.ts'
import { divide, runCalls, type Work } from '../../lib/model/side-by-side.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { openModel } from '../support/open-model.ts'
import { tinyModel } from '../support/tiny-model.ts'

const stream = (agent: number) => ({ seed: 3, step: 0, agent, prompt: 0, sample: 0 })
const prompt = Int32Array.from([5, 17, 80, 3])

/** Two models on a processor of two threads. */
async function openTwo(t: ExecutionContext, names = ['qwen3-tied', 'qwen3-tied']): Promise<[Model, Model]> {
  const models = await Promise.all(names.map((name) => openModel(t, tinyModel({ name }))))
  loadAddon().setThreads(2)
  return models as [Model, Model]
}

/** Stands for a policy that is only looked at. */
const policyOf = (model: Model, kind: Policy['kind'] = 'full') => ({ policy: { model, kind } as Policy })

/** How a batch is divided: the entries of its parts, and whether they take a thread each. */
function dividedInto(entries: Parameters<typeof divide>[0], work: Work = 'decoding') {
  const { parts, oneThread } = divide(entries, work)
  return { parts: parts.map(({ numbers }) => numbers), oneThread }
}

test.serial('models of equal size take a thread each; one alone, or one that is much larger, takes all', async (t) => {
  const [a, b] = await openTwo(t)
  const withBytes = (bytes: number) => Object.defineProperty(Object.create(a), 'weightBytes', { value: bytes }) as Model
  t.deepEqual(dividedInto([policyOf(a), policyOf(b)]), { parts: [[0], [1]], oneThread: true })
  t.deepEqual(dividedInto([policyOf(a)]), { parts: [[0]], oneThread: false })
  t.false(dividedInto([policyOf(withBytes(a.weightBytes * 2)), policyOf(b)]).oneThread)
  t.true(dividedInto([policyOf(a), policyOf(b), policyOf(withBytes(a.weightBytes))]).oneThread)
  const large = [policyOf(withBytes(2 ** 27)), policyOf(withBytes(2 ** 27))]
  t.true(dividedInto(large, 'decoding').oneThread)
  t.false(dividedInto(large, 'passes').oneThread, 'activations of one at a time')
})

test.serial(
  'policies of one small model are divided among the threads, those of a large one stay together',
  async (t) => {
    const [a] = await openTwo(t)
    const large = Object.defineProperty(Object.create(a), 'weightBytes', { value: 2 ** 27 }) as Model
    const adapters = (model: Model, count: number) => Array.from({ length: count }, () => policyOf(model, 'lora'))
    const [first, second] = adapters(a, 2) as [{ policy: Policy }, { policy: Policy }]
    const twice = [first, second, first, second]
    t.deepEqual(dividedInto(twice).parts.map(String), ['0,2', '1,3'])
    t.true(dividedInto(twice).oneThread)
    t.deepEqual(dividedInto(adapters(a, 4)).parts.map(String), ['0,1', '2,3'])
    t.deepEqual(dividedInto(adapters(a, 3)).parts.map(String), ['0', '1', '2'])
    t.deepEqual(dividedInto([first, first, first, second]), { parts: [[0, 1, 2, 3]], oneThread: false }, 'uneven')
    t.deepEqual(dividedInto(adapters(large, 2)), { parts: [[0, 1]], oneThread: false })
    t.deepEqual(dividedInto([policyOf(a, 'full'), first]), { parts: [[0, 1]], oneThread: false }, 'weights that move')
    loadAddon().setThreads(1)
    t.deepEqual(dividedInto([first, second]), { parts: [[0, 1]], oneThread: false })
    loadAddon().setThreads(2)
  },
)

test.serial(
  'calls of one device wait for each other unless they run side by side; what fails ends its line',
  async (t) => {
    const [a, b] = await openTwo(t)
    const elsewhere = Object.defineProperty(Object.create(a), 'device', { value: 'cuda:0' })
    const events: string[] = []
    const callOf = (model: Model, name: string, fails = false) => ({
      model,
      run: async () => {
        events.push(`${name} begins`)
        await new Promise((resolve) => setImmediate(resolve))
        if (fails) throw new Error(name)
        events.push(`${name} ends`)
      },
    })
    await runCalls([callOf(a, 'a'), callOf(b, 'b'), callOf(elsewhere, 'c')], { sideBySide: false })
    t.deepEqual(events, ['a begins', 'c begins', 'a ends', 'b begins', 'c ends', 'b ends'])
    events.length = 0
    await runCalls([callOf(a, 'a'), callOf(b, 'b')], { sideBySide: true })
    t.deepEqual(events, ['a begins', 'b begins', 'a ends', 'b ends'])
    events.length = 0
    const failing = [callOf(a, 'a', true), callOf(b, 'b'), callOf(elsewhere, 'c')]
    await t.throwsAsync(runCalls(failing, { sideBySide: false }), { message: 'a' })
    t.deepEqual(events, ['a begins', 'c begins', 'c ends'], 'what was begun is waited for')
  },
)

test.serial('what models compute side by side is what each computes alone, bit for bit', async (t) => {
  const models = await openTwo(t, ['qwen3-tied', 'llama'])
  const policies = await Promise.all(models.map((model) => Policy.full(model)))
  t.true(dividedInto(policies.map((policy) => ({ policy }))).oneThread)
  const requests = policies.map((policy, agent) => ({ policy, prompt, count: 5, stream: stream(agent) }))
  const sampling = { maxNewTokens: 40, temperature: 1, stopIds: [] }
  const { generations } = await generateBatch(requests, sampling)
  const groups = generations.map(({ promptIds, samples }, agent) => ({
    policy: policies[agent]!,
    promptIds,
    completions: samples.map(({ ids }) => ({ ids, weights: new Float32Array(ids.length).fill(0.01) })),
  }))
  const together = (await accumulateBatch(groups)).scores
  // The same calls, one after the other; the other model of the pair does next to nothing.
  for (const agent of policies.keys()) {
    const idle = { policy: policies[1 - agent]!, prompt, count: 1, stream: stream(9) }
    const wanted = requests[agent]!
    const alone = await generateBatch([wanted, { ...idle, prompt: prompt.slice(0, 1) }], sampling)
    t.deepEqual(alone.generations[0], generations[agent])
    const { scores } = await accumulateBatch([
      groups[agent]!,
      {
        policy: idle.policy,
        promptIds: prompt,
        completions: [{ ids: prompt, weights: new Float32Array(prompt.length) }],
      },
    ])
    t.deepEqual(scores[0], together[agent])
  }
})

test.serial('an abort ends calls that run side by side, and the models work on', async (t) => {
  const policies = await Promise.all((await openTwo(t)).map((model) => Policy.full(model)))
  const requests = policies.map((policy, agent) => ({ policy, prompt, count: 2, stream: stream(agent) }))
  const abort = new AbortController()
  const running = generateBatch(
    requests.map((request) => ({ ...request, count: 500 })), // long beside the way of an abort
    { maxNewTokens: 100, stopIds: [] },
    { signal: abort.signal, onTokens: () => abort.abort(new Error('enough')) },
  )
  await t.throwsAsync(running, { message: 'enough' })
  const { generations } = await generateBatch(requests, { maxNewTokens: 3, stopIds: [] })
  t.deepEqual(
    generations.map(({ samples }) => samples.map(({ ids }) => ids.length)),
    [
      [3, 3],
      [3, 3],
    ],
  )
})
