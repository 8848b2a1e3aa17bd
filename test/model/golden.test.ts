/** The golden values through the public API: what a user gets from a folder is what transformers computes. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import { Policy, type PolicyGroup } from '../../lib/model/policy.ts'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { closeTo, type Golden, type GoldenGroup, type GoldenScore } from '../support/golden-values.ts'
import { openModel } from '../support/open-model.ts'

const groupsOf = (groups: readonly GoldenGroup[]): PolicyGroup[] =>
  groups.map(({ prompt, completions }) => ({
    promptIds: Int32Array.from(prompt),
    completions: completions.map(({ ids, weights }) => ({
      ids: Int32Array.from(ids),
      weights: Float32Array.from(weights),
    })),
  }))

async function scoresAre(
  t: ExecutionContext,
  policy: Policy,
  golden: Golden,
  expected: readonly GoldenScore[],
): Promise<void> {
  const groups = await policy.logProbs(groupsOf(golden.groups))
  const logProbs = groups.flatMap((group) => group.logProbs)
  const entropies = groups.flatMap((group) => group.entropies)
  t.is(logProbs.length, expected.length)
  expected.forEach((score, i) => {
    closeTo(t, logProbs[i] ?? [], score.logProbs, golden.tolerance.logProbs, `log-probs of completion ${i}`)
    closeTo(t, entropies[i] ?? [], score.entropies, golden.tolerance.logProbs, `entropies of completion ${i}`)
  })
}

async function computesAsGolden(t: ExecutionContext, model: Model, golden: Golden): Promise<void> {
  const policy = Policy.base(model)
  const generations = await policy.generate(
    golden.prompts.map(({ ids }) => Int32Array.from(ids)),
    { temperature: 0, maxNewTokens: 16 },
  )
  golden.prompts.forEach((prompt, i) => {
    t.deepEqual([...(generations[i]?.samples[0]?.ids ?? [])], prompt.greedy, `greedy text of prompt ${i}`)
    t.is(generations[i]?.samples[0]?.finish, prompt.finish, `finish of prompt ${i}`)
  })
  const scores = await policy.logProbs(
    golden.prompts.map(({ ids }) => ({
      promptIds: Int32Array.from(ids.slice(0, 1)),
      completions: [{ ids: Int32Array.from(ids.slice(1)) }],
    })),
  )
  golden.prompts.forEach((prompt, i) => {
    closeTo(t, scores[i]?.logProbs[0] ?? [], prompt.promptLogProbs, golden.tolerance.logProbs, `prompt ${i}`)
  })
  await scoresAre(t, policy, golden, golden.scores)
}

const cases = readdirSync(goldenDir()).filter((name) => {
  try {
    return readdirSync(goldenDir(name)).includes('golden.json')
  } catch {
    return false
  }
})

for (const name of cases) {
  const golden = readGolden<Golden>(`${name}/golden.json`)
  const spellings = readdirSync(goldenDir(name)).filter((file) => /^config.*\.json$/.test(file))
  for (const file of spellings)
    test(`${name}, ${file}: greedy text and log-probs of a policy over the loaded folder`, async (t) => {
      await computesAsGolden(t, await openModel(t, goldenModel(name, file)), golden)
    })

  test(`${name}: a training pass and its step have the reference's scores and gradient norm`, async (t) => {
    const policy = await Policy.full(await openModel(t, goldenModel(name)))
    const scores = await policy.accumulate(groupsOf(golden.groups))
    closeTo(
      t,
      scores.flatMap((group) => group.logProbs.flatMap((row) => [...row])),
      golden.scores.flatMap((score) => score.logProbs),
      golden.tolerance.logProbs,
      'log-probs of the pass',
    )
    const { betas, epsilon, weightDecay, maxGradNorm, learningRates } = golden.optimizer
    const step = {
      betas,
      epsilon,
      weightDecay,
      decay: 'all' as const,
      maxGradNorm,
      learningRate: learningRates[0] ?? Number.NaN,
    }
    const { gradNorm, skipped } = await policy.step(step)
    const expected = golden.full.steps.gradNorms[0] ?? Number.NaN
    t.false(skipped)
    t.true(
      Math.abs(gradNorm - expected) <= golden.tolerance.gradientsRelative * expected,
      `${gradNorm} for ${expected}`,
    )
  })

  for (const [folder, adapter] of Object.entries(golden.adapters))
    if (folder !== 'adapter-patterns')
      test(`${name}/${folder}: an adapter that PEFT saved`, async (t) => {
        const model = await openModel(t, goldenModel(name))
        await scoresAre(t, await Policy.fromAdapter(model, join(goldenDir(name), folder)), golden, adapter.scores)
        await scoresAre(t, Policy.base(model), golden, golden.scores)
      })
}

test('a model in shards is what it is in one file', async (t) => {
  await computesAsGolden(t, await openModel(t, goldenDir('llama-sharded')), readGolden<Golden>('llama/golden.json'))
})

test('bfloat16: log-probs are near those of float32, and the dtype is the one of config.json unless asked for', async (t) => {
  const golden = readGolden<Golden>('llama/golden.json')
  const model = await openModel(t, goldenModel('llama'), { dtype: 'bfloat16' })
  t.is(model.dtype, 'bfloat16')
  t.is(model.weightBytes, model.parameterCount * 2)
  const [scores] = await Policy.base(model).logProbs(groupsOf(golden.groups.slice(0, 1)))
  const expected = golden.scores[0]?.logProbs ?? []
  const worst = Math.max(...expected.map((value, i) => Math.abs(value - (scores?.logProbs[0]?.[i] ?? Number.NaN))))
  t.true(worst > 1e-5 && worst < 0.2, `differs by ${worst}`)
  t.is((await openModel(t, goldenModel('llama'), { dtype: 'auto' })).dtype, 'float32')
})
