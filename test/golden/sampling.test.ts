import test from 'ava'
import type { NativeSampling } from '../../lib/native/addon-types.ts'
import { readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import type { Golden } from '../support/golden-values.ts'
import { greedySampling, treeOfPrompts } from '../support/native-golden.ts'
import { openModel } from '../support/open-model.ts'

interface SamplingGolden {
  vectors: {
    model?: string
    prompt?: number
    cases: {
      settings: Partial<NativeSampling>
      kept: number
      probabilities: number[]
    }[]
  }[]
}

const samples = 4000

for (const { model: name, prompt = 0, cases } of readGolden<SamplingGolden>('sampling.json').vectors) {
  if (name === undefined) continue // vectors without a model are for the sampler's own tests
  const ids = readGolden<Golden>(`${name}/golden.json`).prompts[prompt]?.ids ?? []
  for (const { settings, kept, probabilities } of cases) {
    test(`tokens are drawn from transformers' distribution: ${JSON.stringify(settings)}`, async (t) => {
      const { native: model } = await openModel(t, goldenModel(name))
      const result = await model.generate({
        tree: treeOfPrompts([ids]),
        policies: [],
        rowSegment: new Int32Array(samples),
        rowLimit: new Int32Array(samples).fill(1),
        rowStream: Uint32Array.from({ length: samples * 5 }, (_, i) => (i % 5 === 4 ? (i - 4) / 5 : 7)),
        sampling: { ...greedySampling, temperature: 1, ...settings },
      })
      const drawn = result.rows.flatMap(({ ids }) => [...ids])
      t.is(drawn.length, samples)
      const counts = new Map<number, number>()
      for (const id of drawn) counts.set(id, (counts.get(id) ?? 0) + 1)
      for (const id of counts.keys()) t.true((probabilities[id] ?? 0) > 0, `token ${id} is cut off, but was drawn`)
      // Pearson's statistic has mean k - 1 and variance 2 (k - 1); the draws are a fixed function of the stream.
      const statistic = probabilities.reduce((sum, p, id) => {
        const expected = p * samples
        return p > 0 ? sum + ((counts.get(id) ?? 0) - expected) ** 2 / expected : sum
      }, 0)
      const freedom = kept - 1
      t.true(
        statistic < freedom + 5 * Math.sqrt(2 * freedom),
        `statistic ${statistic} with ${freedom} degrees of freedom`,
      )
    })
  }
}
