import { readdirSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import type { NativeModel } from '../../lib/native/addon-types.ts'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { closeTo, fitsSummary, type Golden, rmsDifference } from '../support/golden-values.ts'
import { greedyOf, logitsOf, ownLogProbs, policyTensors, scoresOf } from '../support/native-golden.ts'
import { openModel } from '../support/open-model.ts'

const cases = [
  'llama',
  'llama3',
  'llama-bias',
  'llama-linear',
  'mistral',
  'mistral-window',
  'qwen2',
  'qwen2-window',
  'qwen3-tied',
  'qwen3-untied',
  'gemma3',
  'gemma3-untied',
]

const endIds = (name: string): number[] =>
  readdirSync(goldenDir(name)).includes('generation_config.json')
    ? readGolden<{ eos_token_id: number[] }>(`${name}/generation_config.json`).eos_token_id
    : []

async function open(
  t: ExecutionContext,
  folder: string,
  dtype: 'float32' | 'bfloat16' = 'float32',
): Promise<NativeModel> {
  return (await openModel(t, folder, { dtype })).native
}

async function logitsAreGolden(t: ExecutionContext, model: NativeModel, golden: Golden): Promise<void> {
  const logits = await logitsOf(
    model,
    golden.prompts.map((prompt) => prompt.ids),
  )
  golden.prompts.forEach((prompt, i) => {
    closeTo(t, logits[i] ?? [], prompt.logits, golden.tolerance.logits, `logits of prompt ${i}`)
  })
}

for (const name of cases) {
  const golden = readGolden<Golden>(`${name}/golden.json`)
  const { logProbs: tolerance, gradientsRelative: relative } = golden.tolerance

  test(`${name}: logits of prompts of different lengths in one batch`, async (t) => {
    await logitsAreGolden(t, await open(t, goldenModel(name)), golden)
  })

  for (const file of readdirSync(goldenDir(name)).filter((entry) => entry.startsWith('config-'))) {
    test(`${name}: the same model, spelt as in ${file}`, async (t) => {
      await logitsAreGolden(t, await open(t, goldenModel(name, file)), golden)
    })
  }

  test(`${name}: log-probs of all prompt tokens`, async (t) => {
    const model = await open(t, goldenModel(name))
    const logProbs = await ownLogProbs(
      model,
      golden.prompts.map((prompt) => prompt.ids),
    )
    golden.prompts.forEach((prompt, i) => {
      closeTo(t, logProbs[i] ?? [], prompt.promptLogProbs, tolerance, `prompt ${i}`)
    })
  })

  test(`${name}: greedy text`, async (t) => {
    const model = await open(t, goldenModel(name))
    const texts = await greedyOf(
      model,
      golden.prompts.map((prompt) => prompt.ids),
      16,
      endIds(name),
    )
    golden.prompts.forEach((prompt, i) => {
      t.deepEqual(texts[i]?.ids, prompt.greedy, `prompt ${i}`)
      t.is(texts[i]?.stopped, prompt.finish === 'stop', `prompt ${i}`)
    })
  })

  test(`${name}: log-probs and entropies of completions that share prompts`, async (t) => {
    const model = await open(t, goldenModel(name))
    const scores = await scoresOf(model, golden.groups)
    golden.scores.forEach((score, i) => {
      closeTo(t, scores[i]?.logProbs ?? [], score.logProbs, tolerance, `log-probs of completion ${i}`)
      closeTo(t, scores[i]?.entropies ?? [], score.entropies, tolerance, `entropies of completion ${i}`)
    })
  })

  test(`${name}: gradients of all weights, three optimizer steps`, async (t) => {
    const model = await open(t, goldenModel(name))
    const policy = await model.createPolicy({ kind: 'full' })
    t.teardown(() => policy.dispose())
    await scoresOf(model, golden.groups, policy, true)
    const gradients = await policyTensors(policy, 'gradients')
    t.deepEqual([...gradients.keys()].sort(), Object.keys(golden.full.gradients).sort())
    for (const [tensor, summary] of Object.entries(golden.full.gradients)) {
      fitsSummary(t, tensor, gradients.get(tensor) ?? new Float32Array(), summary, relative)
    }
    const { learningRates, betas, epsilon, weightDecay, maxGradNorm } = golden.optimizer
    const { gradNorms, weightsAfter, scoresAfter } = golden.full.steps
    for (const [i, learningRate] of learningRates.entries()) {
      if (i > 0) await scoresOf(model, golden.groups, policy, true)
      const [beta1, beta2] = betas
      const result = await policy.step({
        learningRate,
        beta1,
        beta2,
        epsilon,
        weightDecay,
        decayAll: true,
        maxGradNorm,
        moments: 'float32',
      })
      const expected = gradNorms[i] ?? Number.NaN
      t.true(Math.abs(result.gradNorm - expected) <= 1e-4 * expected, `step ${i}: ${result.gradNorm} for ${expected}`)
    }
    const weights = await policyTensors(policy, 'weights')
    for (const [tensor, summary] of Object.entries(weightsAfter)) {
      fitsSummary(t, tensor, weights.get(tensor) ?? new Float32Array(), summary, relative + 5 * summary.noise)
    }
    const scores = await scoresOf(model, golden.groups, policy)
    scoresAfter.forEach((score, i) => {
      closeTo(t, scores[i]?.logProbs ?? [], score.logProbs, 2e-4, `log-probs after the steps, completion ${i}`)
    })
  })

  test(`${name}: bfloat16 rounds no worse than transformers does`, async (t) => {
    const model = await open(t, goldenModel(name), 'bfloat16')
    const logits = await logitsOf(
      model,
      golden.prompts.map((prompt) => prompt.ids),
    )
    const { rounded, rmsDifference: reference } = golden.bfloat16
    const difference = rmsDifference(
      logits.flatMap((row) => [...row]),
      rounded.flat(),
    )
    t.log(`rms difference ${difference.toFixed(4)}, transformers ${reference.toFixed(4)}`)
    t.true(difference > 0 && difference <= 1.5 * reference, `${difference} for ${reference}`)
  })
}

test('llama in three shards, as transformers saves it', async (t) => {
  const golden = readGolden<Golden>('llama/golden.json')
  await logitsAreGolden(t, await open(t, goldenDir('llama-sharded')), golden)
})
