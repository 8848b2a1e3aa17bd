/** Where random numbers come from: starts are functions of (seed, role, number), and samples of a stream that moves on. */
import test from 'ava'
import { seedOf } from '../../lib/base/random.ts'
import { Policy } from '../../lib/model/policy.ts'
import type { Generation } from '../../lib/model/types.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'

const prompt = Int32Array.of(5, 17, 80)
const options = { maxNewTokens: 12, stopIds: [] }
const idsOf = (generations: readonly Generation[]) =>
  generations.map(({ samples }) => samples.map(({ ids }) => [...ids]))

test('no two starts have a seed in common: neighbouring seeds, agents and roles', (t) => {
  const seeds = new Set<number>()
  for (const role of ['agent', 'critic', 'valueHead', 'sampling'] as const)
    for (let seed = 0; seed < 200; seed++) for (let index = 0; index < 8; index++) seeds.add(seedOf(seed, role, index))
  t.is(seeds.size, 4 * 200 * 8)
  t.true([...seeds].every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
  t.is(seedOf(7, 'critic', 1), seedOf(7, 'critic', 1))
})

test('without a seed each call takes the next stream; what was read can be set again', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const before = policy.stream
  const first = idsOf(await policy.generate([prompt, prompt], options))
  t.is(policy.stream.step, before.step + 1)
  const second = idsOf(await policy.generate([prompt, prompt], options))
  t.notDeepEqual(first, second)
  t.notDeepEqual(first[0], first[1])
  policy.stream = before
  t.deepEqual(idsOf(await policy.generate([prompt, prompt], options)), first)
  const [third, fourth] = await Promise.all([policy.generate([prompt], options), policy.generate([prompt], options)])
  t.notDeepEqual(idsOf(third), idsOf(fourth))
})

test('two policies of equal weights do not sample the same', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const policies = [Policy.base(model), Policy.base(model), await Policy.lora(model), await Policy.lora(model)]
  const samples = await Promise.all(policies.map(async (policy) => idsOf(await policy.generate([prompt], options))))
  t.is(new Set(samples.map((sample) => JSON.stringify(sample))).size, policies.length)
})

test('with a seed a call is a function of its arguments, and takes no stream', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const [one, two] = [Policy.base(model), Policy.base(model)]
  const before = one.stream
  const first = idsOf(await one.generate([prompt], { ...options, seed: 3 }))
  t.deepEqual(idsOf(await one.generate([prompt], { ...options, seed: 3 })), first)
  t.deepEqual(idsOf(await two.generate([prompt], { ...options, seed: 3 })), first)
  t.deepEqual(idsOf(await two.generate([prompt], { ...options, stream: { seed: 3 } })), first)
  t.notDeepEqual(idsOf(await one.generate([prompt], { ...options, seed: 4 })), first)
  t.notDeepEqual(idsOf(await one.generate([prompt], { ...options, seed: 3, stream: { step: 1 } })), first)
  t.deepEqual(one.stream, before)
})

test('a stream that is none, and a seed given twice', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const set = async (stream: unknown) => {
    policy.stream = stream as typeof policy.stream
  }
  await rejectsWith(t, () => set(null), 'ERR_CONFIG', 'expected an object')
  await rejectsWith(t, () => set({ step: -1 }), 'ERR_CONFIG', 'step')
  await rejectsWith(t, () => set({ steps: 1 }), 'ERR_CONFIG', 'did you mean "step"')
  await rejectsWith(t, () => policy.generate([prompt], { seed: 1, stream: { seed: 1 } }), 'ERR_CONFIG', 'seed')
})
