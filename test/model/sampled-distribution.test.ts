/** Scores and gradients of the distribution that a sampler drew from: what is trained is what was sampled. */
import test, { type ExecutionContext } from 'ava'
import { Policy } from '../../lib/model/policy.ts'
import type { Sampling } from '../../lib/model/sampling.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'

const prompt = Int32Array.from([5, 17, 80, 33])
const noStep = { learningRate: 0, weightDecay: 0, maxGradNorm: 0 }

const settings: Sampling[] = [
  {},
  { temperature: 0.5 },
  { temperature: 1.5 },
  { topK: 9 },
  { topP: 0.8, temperature: 0.7 },
  { minP: 0.3, temperature: 1.3 },
  { repetitionPenalty: 1.3 },
  { repetitionPenalty: 0.7, temperature: 0.6, topP: 0.9, topK: 40 },
]

/** Every completion of one token that a sampler can draw, with its probability. */
async function everyToken(t: ExecutionContext, policy: Policy, sampling: Sampling) {
  const [generation] = await policy.generate([prompt], { ...sampling, maxNewTokens: 1, stopIds: [], seed: 5 })
  const { kept } = generation!.samples[0]!
  const completions = []
  for (let id = 0; id < policy.model.config.vocabSize; id++) {
    const completion = { ids: Int32Array.of(id), ...(kept && { kept }) }
    try {
      const [scores] = await policy.logProbs([{ promptIds: prompt, completions: [completion] }], { sampling })
      completions.push({ ...completion, p: Math.exp(scores!.logProbs[0]![0]!) })
    } catch (error) {
      t.regex(String(error), /among those that its sampler kept/)
    }
  }
  return completions
}

/** Norm of the gradient of Σ weight · log π over one-token completions. */
async function gradientNorm(policy: Policy, completions: { ids: Int32Array; weight: number }[], sampling: Sampling) {
  const weighted = completions.map(({ weight, ...completion }) => ({ ...completion, weights: Float32Array.of(weight) }))
  await policy.accumulate([{ promptIds: prompt, completions: weighted }], { sampling })
  return (await policy.step(noStep)).gradNorm
}

for (const sampling of settings)
  test(`a reward without information has no gradient: Σ π ∇log π is 0 under ${JSON.stringify(sampling)}`, async (t) => {
    const policy = await Policy.lora(await openModel(t, goldenModel('qwen3-tied')), { rank: 4 })
    const all = await everyToken(t, policy, sampling)
    t.true(Math.abs(all.reduce((sum, { p }) => sum + p, 0) - 1) < 1e-6)
    const filters = sampling.topK !== undefined || sampling.topP !== undefined || sampling.minP !== undefined
    t.is(all.length < policy.model.config.vocabSize, filters)
    let mean = 0
    for (const { p, ...completion } of all)
      mean += p * (await gradientNorm(policy, [{ ...completion, weight: 1 }], sampling))
    const sum = await gradientNorm(
      policy,
      all.map(({ p, ...completion }) => ({ ...completion, weight: p })),
      sampling,
    )
    t.true(mean > 0)
    t.true(sum < 1e-6 * mean, `${sum} of ${mean}`)
  })

for (const sampling of settings)
  test(`scores of samples are what the sampler said under ${JSON.stringify(sampling)}`, async (t) => {
    const policy = Policy.base(await openModel(t, goldenModel('llama')))
    const [generation] = await policy.generate([prompt], {
      ...sampling,
      count: 6,
      maxNewTokens: 12,
      stopIds: [],
      seed: 5,
    })
    const groups = [{ promptIds: prompt, completions: generation!.samples }]
    const [drawn] = await policy.logProbs(groups, { sampling })
    const [model] = await policy.logProbs(groups)
    // Logits differ by rounding, which the temperature divides.
    const tolerance = 3e-5 / Math.min(1, sampling.temperature ?? 1)
    for (const [i, sample] of generation!.samples.entries())
      for (let token = 0; token < sample.ids.length; token++) {
        t.true(Math.abs(drawn!.logProbs[i]![token]! - sample.logProbs[token]!) < tolerance)
        t.true(Math.abs(drawn!.entropies[i]![token]! - sample.entropies[token]!) < tolerance)
        t.true(Math.abs(model!.logProbs[i]![token]! - sample.modelLogProbs[token]!) < tolerance)
        t.true(Math.abs(model!.entropies[i]![token]! - sample.modelEntropies[token]!) < tolerance)
      }
  })

for (const sampling of settings)
  test(`weights that moved since leave ratios finite and KL not negative under ${JSON.stringify(sampling)}`, async (t) => {
    const policy = await Policy.lora(await openModel(t, goldenModel('qwen2')), { rank: 4 })
    const [generation] = await policy.generate([prompt], {
      ...sampling,
      count: 16,
      maxNewTokens: 12,
      stopIds: [],
      seed: 5,
    })
    const completions = generation!.samples.map(({ ids, kept }, i) => ({
      ...{ ids, kept },
      weights: new Float32Array(ids.length).fill(i % 2 ? 1 : -1),
    }))
    for (let step = 0; step < 3; step++) {
      await policy.accumulate([{ promptIds: prompt, completions }], { sampling })
      await policy.step({ learningRate: 0.05 })
    }
    const [scores] = await policy.logProbs([{ promptIds: prompt, completions }], { sampling })
    let moved = 0
    for (const [i, { ids, logProbs }] of generation!.samples.entries())
      for (let token = 0; token < ids.length; token++) {
        const d = scores!.logProbs[i]![token]! - logProbs[token]!
        t.true(Number.isFinite(Math.exp(d)))
        t.true(Math.expm1(d) - d >= 0)
        moved = Math.max(moved, Math.abs(d))
      }
    t.true(moved > 0.01)
  })

test('what cannot be scored under a sampler is refused with the reason', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const score = (completion: object, sampling: Sampling) =>
    policy.logProbs([{ promptIds: prompt, completions: [{ ids: Int32Array.of(3), ...completion }] }], { sampling })
  await rejectsWith(t, () => score({}, { topP: 0.9 }), 'ERR_ARGUMENT', 'kept', 'made elsewhere')
  await rejectsWith(t, () => score({}, { temperature: 0 }), 'ERR_ARGUMENT', 'greedy')
  for (const kept of [[], [2], [2, 0, 2, 0], [1, 9], [255, 255, 255, 255, 255, 1]])
    await rejectsWith(t, () => score({ kept: Uint8Array.from(kept) }, { topP: 0.9 }), 'ERR_ARGUMENT')
  const [scores] = await score({ kept: Uint8Array.of(2, 3) }, { topK: 1 })
  t.is(scores!.logProbs[0]![0], 0)
})

test('a greedy choice is no draw: its log-probs are the model’s', async (t) => {
  const policy = Policy.base(await openModel(t, goldenModel('llama')))
  const [generation] = await policy.generate([prompt], { temperature: 0, topP: 0.9, maxNewTokens: 4, stopIds: [] })
  const { logProbs, modelLogProbs, kept } = generation!.samples[0]!
  t.deepEqual(logProbs, modelLogProbs)
  t.is(kept, undefined)
  t.true(logProbs.some((value) => value < 0))
})
