import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import type { NativeModel, NativePolicy } from '../../lib/native/addon-types.ts'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { closeTo, fitsSummary, type Golden } from '../support/golden-values.ts'
import { logitsOf, policyTensors, scoresOf, treeOfPrompts } from '../support/native-golden.ts'
import { openAdapter, openModel } from '../support/open-model.ts'

async function open(
  t: ExecutionContext,
  name: string,
  folder: string,
): Promise<{ base: Model; model: NativeModel; policy: NativePolicy }> {
  const base = await openModel(t, goldenModel(name))
  return { base, model: base.native, policy: await openAdapter(base, join(goldenDir(name), folder)) }
}

/** Logits and scores of an adapter that PEFT saved, and that the base is what it was. */
async function computesAsPeft(t: ExecutionContext, name: string, folder: string): Promise<void> {
  const golden = readGolden<Golden>(`${name}/golden.json`)
  const expected = golden.adapters[folder]
  if (expected === undefined) return t.fail(`${name}/golden.json has no ${folder}`)
  const { model, policy } = await open(t, name, folder)
  const prompts = golden.prompts.map((prompt) => prompt.ids)
  const adapted = await logitsOf(model, prompts, policy)
  const base = await logitsOf(model, prompts)
  const scores = await scoresOf(model, golden.groups, policy)
  golden.prompts.forEach((prompt, i) => {
    closeTo(t, adapted[i] ?? [], expected.logits[i] ?? [], golden.tolerance.logits, `adapted logits of prompt ${i}`)
    closeTo(t, base[i] ?? [], prompt.logits, golden.tolerance.logits, `base logits of prompt ${i}`)
  })
  expected.scores.forEach((score, i) => {
    closeTo(t, scores[i]?.logProbs ?? [], score.logProbs, golden.tolerance.logProbs, `log-probs of completion ${i}`)
    closeTo(t, scores[i]?.entropies ?? [], score.entropies, golden.tolerance.logProbs, `entropies of completion ${i}`)
  })
}

for (const name of ['llama', 'llama-bias', 'mistral', 'qwen2', 'qwen3-tied', 'gemma3']) {
  const golden = readGolden<Golden>(`${name}/golden.json`)

  test(`${name}: an adapter on all projections computes as in PEFT`, async (t) => {
    await computesAsPeft(t, name, 'adapter')
  })

  test(`${name}: an adapter's gradients, three optimizer steps`, async (t) => {
    const { gradients, steps } = golden.adapters.adapter ?? {}
    if (gradients === undefined || steps === undefined) return t.fail(`${name}/golden.json has no adapter training`)
    const { model, policy } = await open(t, name, 'adapter')
    await scoresOf(model, golden.groups, policy, true)
    const actual = await policyTensors(policy, 'gradients')
    t.deepEqual([...actual.keys()].sort(), Object.keys(gradients).sort())
    for (const [tensor, summary] of Object.entries(gradients)) {
      fitsSummary(t, tensor, actual.get(tensor) ?? new Float32Array(), summary, golden.tolerance.gradientsRelative)
    }
    const { learningRates, betas, epsilon, weightDecay, maxGradNorm } = golden.optimizer
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
      const expected = steps.gradNorms[i] ?? Number.NaN
      t.true(Math.abs(result.gradNorm - expected) <= 1e-4 * expected, `step ${i}: ${result.gradNorm} for ${expected}`)
    }
    const weights = await policyTensors(policy, 'weights')
    for (const [tensor, summary] of Object.entries(steps.weightsAfter)) {
      const relative = golden.tolerance.gradientsRelative + 5 * summary.noise
      fitsSummary(t, tensor, weights.get(tensor) ?? new Float32Array(), summary, relative)
    }
    const scores = await scoresOf(model, golden.groups, policy)
    steps.scoresAfter.forEach((score, i) => {
      closeTo(t, scores[i]?.logProbs ?? [], score.logProbs, 2e-4, `log-probs after the steps, completion ${i}`)
    })
  })
}

test('llama: a rank-stabilised adapter on two projections computes as in PEFT', async (t) => {
  await computesAsPeft(t, 'llama', 'adapter-rslora')
})

test('llama: the base and two adapters in one batch compute as each alone', async (t) => {
  const golden = readGolden<Golden>('llama/golden.json')
  const { base, model, policy } = await open(t, 'llama', 'adapter')
  const stabilised = await openAdapter(base, join(goldenDir('llama'), 'adapter-rslora'))
  const expected = [
    { policy: 1, logits: golden.adapters['adapter-rslora']?.logits ?? [] },
    { policy: -1, logits: golden.prompts.map((prompt) => prompt.logits) },
    { policy: 0, logits: golden.adapters.adapter?.logits ?? [] },
  ]
  // the same prompts for each policy, policies interleaved
  const rows = golden.prompts.flatMap((prompt, p) =>
    expected.map(({ policy: index, logits }) => ({ ids: prompt.ids, index, logits: logits[p] ?? [] })),
  )
  const tree = treeOfPrompts(rows.map((row) => row.ids))
  tree.policy.set(rows.map((row) => row.index))
  const flat = await model.logits(
    tree,
    [policy, stabilised],
    Int32Array.from(rows, (_, row) => row),
  )
  const width = flat.length / rows.length
  rows.forEach((row, i) => {
    const actual = flat.subarray(i * width, (i + 1) * width)
    closeTo(t, actual, row.logits, golden.tolerance.logits, `row ${i}, policy ${row.index}`)
  })
})
