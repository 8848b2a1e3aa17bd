/** What must hold between sampling and scoring, whatever the weights: one computation in many arrangements. */
import { join } from 'node:path'
import test from 'ava'
import { generateBatch, type SampleEvent } from '../../lib/model/generate.ts'
import { Policy } from '../../lib/model/policy.ts'
import { scoreBatch } from '../../lib/model/score.ts'
import type { GenerateRequest, Sample } from '../../lib/model/types.ts'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { closeTo, type Golden } from '../support/golden-values.ts'
import { logitsOf } from '../support/native-golden.ts'
import { openModel } from '../support/open-model.ts'

const promptsOf = (name: string): Int32Array[] => {
  const { prompts, groups } = readGolden<Golden>(`${name}/golden.json`)
  return [...prompts.map(({ ids }) => ids), ...groups.map(({ prompt }) => prompt)].map((ids) => Int32Array.from(ids))
}

const stream = { seed: 11, step: 0, agent: 0, prompt: 0, sample: 0 }

for (const name of ['llama3', 'mistral-window', 'qwen2-window', 'qwen3-untied', 'gemma3']) {
  test(`${name}: the sampler's log-probs and entropies are those of a full pass`, async (t) => {
    const policy = Policy.base(await openModel(t, goldenModel(name)))
    const generations = await policy.generate(promptsOf(name), { count: 3, maxNewTokens: 24, stream })
    const scores = await policy.logProbs(
      generations.map(({ promptIds, samples }) => ({ promptIds, completions: samples.map(({ ids }) => ({ ids })) })),
    )
    for (const [g, { samples }] of generations.entries())
      for (const [s, sample] of samples.entries()) {
        closeTo(t, sample.logProbs, scores[g]?.logProbs[s] ?? [], 2e-5, `log-probs of ${g}, ${s}`)
        closeTo(t, sample.entropies, scores[g]?.entropies[s] ?? [], 2e-5, `entropies of ${g}, ${s}`)
      }
  })

  test(`${name}: a row alone is the row in a batch`, async (t) => {
    const policy = Policy.base(await openModel(t, goldenModel(name)))
    const prompts = promptsOf(name)
    const together = await policy.generate(prompts, { count: 2, maxNewTokens: 16, stream })
    for (const [i, prompt] of prompts.entries())
      for (const sample of [0, 1]) {
        const [alone] = await policy.generate([prompt], { maxNewTokens: 16, stream: { ...stream, prompt: i, sample } })
        const expected = together[i]?.samples[sample]
        t.deepEqual(alone?.samples[0]?.ids, expected?.ids)
        closeTo(t, alone?.samples[0]?.logProbs ?? [], expected?.logProbs ?? [], 1e-5, `prompt ${i}, sample ${sample}`)
      }
  })
}

test('at temperature 0 each token is the most probable one of a full pass', async (t) => {
  const model = await openModel(t, goldenModel('qwen3-tied'))
  const [prompt] = promptsOf('qwen3-tied')
  const [generation] = await Policy.base(model).generate([prompt!], { temperature: 0, maxNewTokens: 12 })
  const ids = [...generation!.samples[0]!.ids]
  const texts = ids.map((_, i) => [...prompt!, ...ids.slice(0, i)])
  for (const [i, logits] of (await logitsOf(model.native, texts)).entries())
    t.is(logits.indexOf(Math.max(...logits)), ids[i]!, `token ${i}`)
})

test('equal streams give equal samples, and each number of a stream counts', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const idsOf = async (changed: Partial<typeof stream>) => {
    const [generation] = await policy.generate(promptsOf('llama').slice(0, 1), {
      maxNewTokens: 16,
      stream: { ...stream, ...changed },
    })
    return [...generation!.samples[0]!.ids].join(' ')
  }
  const first = await idsOf({})
  t.is(await idsOf({}), first)
  for (const field of ['seed', 'step', 'agent', 'prompt', 'sample'] as const)
    t.not(await idsOf({ [field]: 1 }), first, field)
  t.not(await idsOf({ seed: 2 ** 32 - 1 }), first)
  t.is(await idsOf({ prompt: 3, sample: 5 }), await idsOf({ sample: 5, prompt: 3 }))
})

test("a request's samples are those of its stream one after the other, all different", async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const prompts = promptsOf('llama').slice(0, 1)
  const [many] = await policy.generate(prompts, { count: 4, maxNewTokens: 16, stream })
  const [later] = await policy.generate(prompts, { count: 2, maxNewTokens: 16, stream: { ...stream, sample: 2 } })
  for (const [i, sample] of later!.samples.entries()) {
    t.deepEqual(sample.ids, many!.samples[2 + i]!.ids)
    closeTo(t, sample.logProbs, many!.samples[2 + i]!.logProbs, 1e-5, `sample ${i}`)
  }
  t.is(new Set(many!.samples.map(({ ids }) => ids.join(' '))).size, 4)
})

test('a prompt is computed once, however many samples and requests share it', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const policy = Policy.base(model)
  const adapter = await Policy.lora(model)
  const [short, long] = promptsOf('llama')
  const request = (owner: Policy, prompt: Int32Array, count: number): GenerateRequest => ({
    policy: owner,
    prompt,
    count,
    stream,
  })
  const prefill = async (...requests: GenerateRequest[]) =>
    (await generateBatch(requests, { maxNewTokens: 2 })).stats.prefillTokens
  t.is(await prefill(request(policy, short!, 8)), short!.length)
  t.is(await prefill(request(policy, short!, 2), request(policy, long!, 2)), short!.length + long!.length)
  t.is(await prefill(request(policy, short!, 2), request(policy, Int32Array.from(short!), 3)), short!.length)
  t.is(await prefill(request(policy, short!, 1), request(adapter, short!, 1)), 2 * short!.length)
})

test('a sample is told of when it ends, as it is in the result', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const policy = Policy.base(model)
  const prompts = promptsOf('llama').slice(0, 2)
  const requests = prompts.map((prompt) => ({ policy, prompt, count: 2, stream }))
  const told: SampleEvent[] = []
  // Rows end at different times: one prompt leaves room for a token less than the other.
  const onSample = (event: SampleEvent) => void told.push(event)
  const { generations } = await generateBatch(requests, { maxNewTokens: model.contextLength }, { onSample })
  const lengths = told.map(({ value }) => value.ids.length)
  t.deepEqual(
    lengths,
    [...lengths].sort((a, b) => a - b),
  )
  t.true(new Set(lengths).size > 1)
  t.is(told.length, 4)
  for (const { request, sample, value } of told) t.is(value, generations[request]!.samples[sample]!)
  t.deepEqual(generations, (await generateBatch(requests, { maxNewTokens: model.contextLength })).generations)
})

test('a new adapter is the base, to the last bit', async (t) => {
  const model = await openModel(t, goldenModel('qwen3-tied'))
  const options = { count: 2, maxNewTokens: 16, stream }
  const base = await Policy.base(model).generate(promptsOf('qwen3-tied'), options)
  t.deepEqual(await (await Policy.lora(model, { rank: 4 })).generate(promptsOf('qwen3-tied'), options), base)
})

test('the base and two adapters in one batch are each alone', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const one = await Policy.fromAdapter(model, join(goldenDir('llama'), 'adapter'))
  const two = await Policy.fromAdapter(model, join(goldenDir('llama'), 'adapter-rslora'))
  const policies = [one, Policy.base(model), two]
  const prompts = promptsOf('llama')
  const requests = prompts.flatMap((prompt, p) =>
    policies.map((policy, agent) => ({ policy, prompt, count: 2, stream: { ...stream, agent, prompt: p } })),
  )
  const sampling = { maxNewTokens: 12 }
  const { generations } = await generateBatch(requests, sampling)
  const groups = generations.map(({ promptIds, samples }, i) => ({
    policy: requests[i]!.policy,
    promptIds,
    completions: samples.map(({ ids }) => ({ ids })),
  }))
  const { scores } = await scoreBatch(groups)
  const texts = new Set<string>()
  for (const [i, request] of requests.entries()) {
    const alone = (await generateBatch([request], sampling)).generations[0]!
    const aloneScores = (await scoreBatch([groups[i]!])).scores[0]!
    alone.samples.forEach((sample: Sample, s) => {
      const together = generations[i]!.samples[s]!
      t.deepEqual(together.ids, sample.ids, `request ${i}, sample ${s}`)
      closeTo(t, together.logProbs, sample.logProbs, 1e-5, `request ${i}, sample ${s}`)
      closeTo(t, scores[i]!.logProbs[s]!, aloneScores.logProbs[s]!, 1e-5, `scores of request ${i}, sample ${s}`)
      texts.add(sample.ids.join(' '))
    })
  }
  t.is(texts.size, requests.length * 2, 'policies differ')
})

test('models side by side answer in the order of the requests', async (t) => {
  const [llama, qwen] = [await openModel(t, goldenModel('llama')), await openModel(t, goldenModel('qwen3-tied'))]
  const prompt = promptsOf('llama')[0]!
  const policies = [Policy.base(llama), Policy.base(qwen), Policy.base(llama)]
  const requests = policies.map((policy, agent) => ({ policy, prompt, count: 1, stream: { ...stream, agent } }))
  const { generations } = await generateBatch(requests, { maxNewTokens: 8 })
  for (const [i, request] of requests.entries()) {
    const alone = (await generateBatch([request], { maxNewTokens: 8 })).generations[0]!
    t.deepEqual(generations[i]!.samples[0]!.ids, alone.samples[0]!.ids)
  }
})

test('token events are the completions, one token a row and step, and rows leave when they end', async (t) => {
  const model = await openModel(t, goldenModel('qwen3-tied'))
  const seen = new Map<string, number[]>()
  const widths: number[] = []
  const generations = await Policy.base(model).generate(promptsOf('qwen3-tied').slice(0, 2), {
    count: 8,
    maxNewTokens: 40,
    stream,
    stopIds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    onTokens(events) {
      widths.push(events.length)
      for (const { request, sample, ids } of events) {
        const key = `${request}/${sample}`
        seen.set(key, [...(seen.get(key) ?? []), ...ids])
      }
    },
  })
  const lengths: number[] = []
  for (const [request, { samples }] of generations.entries())
    for (const [sample, { ids }] of samples.entries()) {
      t.deepEqual(seen.get(`${request}/${sample}`), [...ids])
      lengths.push(ids.length)
    }
  t.deepEqual(
    widths,
    Array.from({ length: Math.max(...lengths) }, (_, step) => lengths.filter((length) => length > step).length),
  )
  t.true(Math.min(...lengths) < Math.max(...lengths), 'some rows end before others')
})
