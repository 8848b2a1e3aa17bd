/** The settings that change how a batch is computed: `deterministic` and `activationCheckpointing`. */
import test, { type ExecutionContext } from 'ava'
import { accumulateBatch, type BatchOptions, generateBatch } from '../../lib/model/batch.ts'
import { Policy } from '../../lib/model/policy.ts'
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

async function gradientsOf(policy: Policy, groups: readonly ScoredGroup[], options: BatchOptions) {
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

for (const kind of ['full', 'lora'] as const) {
  test(`${kind}: deterministic samples are the same bit for bit in any batch`, async (t) => {
    const requests = requestsOf(await kinds[kind](t, 'qwen3-tied'))
    const of = async (chosen: GenerateRequest[]) =>
      (await generateBatch(chosen, sampling, { deterministic: true })).generations
    const together = await of(requests)
    t.deepEqual(reversed(await of(reversed(requests))), together)
    for (const [i, request] of requests.entries()) t.deepEqual(await of([request]), [together[i]!])
    const fewer = await of(requests.map((request) => ({ ...request, count: 2 })))
    t.deepEqual(
      fewer,
      together.map((generation) => ({ ...generation, samples: generation.samples.slice(0, 2) })),
    )
  })

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

  test(`${kind}: activation checkpointing changes no gradient`, async (t) => {
    const policy = await kinds[kind](t, 'qwen3-tied')
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

/** A step, so that the member's adapter adds something. */
async function stir(member: Policy, groups: readonly ScoredGroup[]): Promise<void> {
  await accumulateBatch(groups)
  await member.step({ learningRate: 0.05 })
  await member.zeroGrad()
}
