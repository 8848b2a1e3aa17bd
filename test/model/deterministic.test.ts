/** The settings that change how a batch is computed: `deterministic` and `activationCheckpointing`. */
import test, { type ExecutionContext } from 'ava'
import { generateBatch } from '../../lib/model/generate.ts'
import { Policy } from '../../lib/model/policy.ts'
import { accumulateBatch } from '../../lib/model/score.ts'
import type { GenerateRequest, ScoredGroup } from '../../lib/model/types.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { goldenModel } from '../support/golden-models.ts'
import { policyTensors } from '../support/native-golden.ts'
import { nativeOf, openModel } from '../support/open-model.ts'

const prompts = [[5, 17, 80, 3], [9], [44, 2, 2, 90, 31, 7, 8], [5, 17, 80], [60, 61]].map((ids) =>
  Int32Array.from(ids),
)

const kinds = {
  full: (t: ExecutionContext, name: string) => openModel(t, goldenModel(name)).then((model) => Policy.full(model)),
  lora: (t: ExecutionContext, name: string) =>
    openModel(t, goldenModel(name)).then((model) => Policy.lora(model, { rank: 4, seed: 3 })),
}

const reversed = <T>(list: readonly T[]) => [...list].reverse()

/** Samples of every prompt, 14 each: 70 rows, more than one product of few rows takes. */
const requestsOf = (policy: Policy, agent = 0): GenerateRequest[] =>
  prompts.map((prompt, i) => ({ policy, prompt, count: 14, stream: { seed: 3, step: 0, agent, prompt: i, sample: 0 } }))

const sampling = { maxNewTokens: 12, temperature: 1, stopIds: [] }

async function groupsOf(policy: Policy, agent = 0): Promise<ScoredGroup[]> {
  const { generations } = await generateBatch(requestsOf(policy, agent), sampling)
  return generations.map(({ promptIds, samples }, g) => ({
    policy,
    promptIds,
    completions: samples.map(({ ids }, s) => ({
      ids,
      weights: Float32Array.from(ids, (_, i) => Math.sin(g + 2 * s + i)),
    })),
  }))
}

async function gradientsOf(
  policy: Policy,
  groups: readonly ScoredGroup[],
  options: Parameters<typeof accumulateBatch>[1],
) {
  await policy.zeroGrad()
  const { scores } = await accumulateBatch(groups, options)
  return { scores, gradients: await policyTensors(nativeOf(policy), 'gradients') }
}

/** Largest difference, relative to the largest number of its tensor. */
function relativeDifference(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  let worst = 0
  for (const [name, values] of a) {
    const other = b.get(name)!
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6)
    for (const [i, value] of values.entries()) worst = Math.max(worst, Math.abs(value - other[i]!) / scale)
  }
  return worst
}

for (const { kind, dtype, ends } of [
  { kind: 'full', dtype: 'float32', ends: {} },
  { kind: 'lora', dtype: 'float32', ends: {} },
  { kind: 'full', dtype: 'float32', ends: { stopIds: [...Array(12).keys()], topP: 0.95, repetitionPenalty: 1.1 } },
  { kind: 'lora', dtype: 'bfloat16', ends: { stopIds: [...Array(12).keys()] } },
] as const)
  test(`${kind}, ${dtype}, ${JSON.stringify(ends).length > 2 ? 'rows that end early' : 'rows of one length'}: deterministic samples are the same bit for bit in any batch`, async (t) => {
    const model = await openModel(t, goldenModel('qwen3-tied'), { dtype })
    const policy = await (kind === 'full' ? Policy.full(model) : Policy.lora(model, { rank: 4, seed: 3 }))
    await stir(policy, await groupsOf(policy))
    const requests = requestsOf(policy)
    const of = async (chosen: GenerateRequest[]) =>
      (await generateBatch(chosen, { ...sampling, ...ends }, { deterministic: true })).generations
    const together = await of(requests)
    t.deepEqual(reversed(await of(reversed(requests))), together)
    for (const [i, request] of requests.entries()) t.deepEqual(await of([request]), [together[i]!])
    const fewer = await of(requests.map((request) => ({ ...request, count: 2 })))
    t.deepEqual(
      fewer,
      together.map((generation) => ({ ...generation, samples: generation.samples.slice(0, 2) })),
    )
    const lengths = new Set(together.flatMap(({ samples }) => samples.map(({ ids }) => ids.length)))
    t.is(lengths.size > 1, 'stopIds' in ends, 'rows leave one by one')
  })

for (const kind of ['full', 'lora'] as const) {
  test(`${kind}: deterministic gradients are the same bit for bit in any order and micro-batch`, async (t) => {
    const policy = await kinds[kind](t, 'llama')
    const groups = await groupsOf(policy)
    const first = await gradientsOf(policy, groups, { deterministic: true })
    const turned = reversed(groups).map((group) => ({ ...group, completions: reversed(group.completions) }))
    const second = await gradientsOf(policy, turned, { deterministic: true, maxTokensPerMicroBatch: 64 })
    t.deepEqual(second.gradients, first.gradients)
    t.deepEqual(
      reversed(second.scores).map(({ logProbs }) => reversed(logProbs)),
      first.scores.map(({ logProbs }) => logProbs),
    )
    const other = await gradientsOf(policy, groups, { maxTokensPerMicroBatch: 300 })
    t.true(relativeDifference(first.gradients, other.gradients) < 1e-5)
  })

  for (const name of ['qwen3-tied', 'gemma3'])
    test(`${kind}, ${name}: activation checkpointing changes no gradient`, async (t) => {
      const policy = await kinds[kind](t, name)
      const groups = await groupsOf(policy)
      const kept = await gradientsOf(policy, groups, {})
      const again = await gradientsOf(policy, groups, { activationCheckpointing: true })
      t.true([...kept.gradients.values()].some((values) => values.some((value) => value !== 0)))
      t.deepEqual([...again.gradients.keys()], [...kept.gradients.keys()])
      t.true(relativeDifference(kept.gradients, again.gradients) < 1e-6)
      for (const [g, { logProbs }] of kept.scores.entries())
        for (const [c, row] of logProbs.entries())
          for (const [i, value] of row.entries()) t.true(Math.abs(value - again.scores[g]!.logProbs[c]![i]!) < 1e-5)
    })
}

for (const threads of [1, 2])
  test.serial(`a team in deterministic mode: any order of its members, on ${threads} threads`, async (t) => {
    const model = await openModel(t, goldenModel('llama'))
    loadAddon().setThreads(threads)
    t.teardown(() => loadAddon().setThreads(1))
    const members = await Promise.all([
      Policy.lora(model, { rank: 4, seed: 3 }),
      Policy.lora(model, { rank: 2, seed: 4, targets: ['q_proj', 'down_proj'] }),
    ])
    for (const [agent, member] of members.entries()) await stir(member, await groupsOf(member, agent))
    const requests = members.flatMap(requestsOf)
    // Members take turns in one order, and come one after the other in the other.
    const mixed = prompts.flatMap((_, i) => [requests[prompts.length + i]!, requests[i]!])
    const of = async (chosen: GenerateRequest[]) =>
      (await generateBatch(chosen, sampling, { deterministic: true })).generations
    const together = await of(requests)
    const turned = await of(mixed)
    for (const [place, request] of mixed.entries()) t.deepEqual(turned[place], together[requests.indexOf(request)])

    const groups = (await Promise.all(members.map(groupsOf))).flat()
    const order = [...groups.keys()].sort((a, b) => (a % prompts.length) - (b % prompts.length) || b - a)
    const gradients = async (chosen: ScoredGroup[]) => {
      for (const member of members) await member.zeroGrad()
      await accumulateBatch(chosen, { deterministic: true })
      return Promise.all(members.map((member) => policyTensors(nativeOf(member), 'gradients')))
    }
    t.deepEqual(await gradients(order.map((g) => groups[g]!)), await gradients(groups))
  })

test('deterministic gradients of completions that differ in what they are trained with alone: any order', async (t) => {
  const policy = await kinds.lora(t, 'llama')
  await policy.attachValueHead({ hiddenSize: 8 })
  const ids = Int32Array.of(7, 9)
  const promptIds = prompts[0]!
  const numbers = [0, 1, 2, 3, 4, 5, 6, 7]
  /** Groups of equal texts; what else decides the sum is a function of the number. */
  const groups = (order: readonly number[]): ScoredGroup[] => [
    {
      policy,
      promptIds,
      valueAt: 'prompt',
      completions: order.map((i) => ({
        ids: new Int32Array(0),
        weights: new Float32Array(0),
        oldLogProbs: new Float32Array(0),
        referenceLogProbs: new Float32Array(0),
        valueTarget: Math.sin(3.7 * i),
        valueWeight: 0.125,
      })),
    },
    {
      policy,
      promptIds,
      completions: order.map((i) => ({
        ids,
        weights: Float32Array.of(0.1, -0.2),
        oldLogProbs: Float32Array.of(-4 + Math.sin(i), -4 - Math.cos(2 * i)),
        referenceLogProbs: Float32Array.of(-4.5, -4 + Math.sin(5 * i)),
        penaltyWeights: Float32Array.of(0.1, 0.1),
      })),
    },
  ]
  const loss = { clip: { low: 0.2, high: 0.2 }, kl: { estimator: 'k3' as const, coefficient: 0.1 } }
  const of = (order: readonly number[]) => gradientsOf(policy, groups(order), { deterministic: true, loss })
  const { gradients } = await of(numbers)
  for (const order of [reversed(numbers), [3, 1, 4, 0, 5, 2, 6, 7], [7, 5, 3, 1, 6, 4, 2, 0]])
    t.deepEqual((await of(order)).gradients, gradients)
})

/** A step, so that the member's adapter adds something. */
async function stir(member: Policy, groups: readonly ScoredGroup[]): Promise<void> {
  await accumulateBatch(groups)
  await member.step({ learningRate: 0.05 })
  await member.zeroGrad()
}
