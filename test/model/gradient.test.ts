/** Gradients against a naive float64 computation: slopes along random directions, one tensor at a time. */
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type ModelConfig, parseModelConfig } from '../../lib/model/config.ts'
import { Policy } from '../../lib/model/policy.ts'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import { type GoldenConfig, goldenModel, goldenTensors, uniform } from '../support/golden-models.ts'
import type { Golden } from '../support/golden-values.ts'
import { type NaiveWeights, naiveLogProbs } from '../support/naive-decoder.ts'
import { policyTensors } from '../support/native-golden.ts'
import { nativeOf, openModel } from '../support/open-model.ts'

const epsilon = 1e-5

/** Two prompts, two completions each, every token with a weight. */
const groups = [
  { prompt: [5, 90, 17], completions: [[33, 61, 2, 100, 12, 9, 56], [7]] },
  {
    prompt: [64],
    completions: [
      [1, 127, 64, 3, 9, 11, 19, 5, 5, 70],
      [28, 28],
    ],
  },
].map(({ prompt, completions }, g) => ({
  prompt,
  completions: completions.map((ids, c) => ({ ids, weights: [...uniform(`weights/${g}/${c}`, ids.length)] })),
}))

const batch = groups.map(({ prompt, completions }) => ({
  promptIds: Int32Array.from(prompt),
  completions: completions.map(({ ids, weights }) => ({
    ids: Int32Array.from(ids),
    weights: Float32Array.from(weights),
  })),
}))

/** Σ wᵢ·log π(tokenᵢ) in float64. */
function objective(config: ModelConfig, weights: NaiveWeights): number {
  let sum = 0
  for (const { prompt, completions } of groups)
    for (const { ids, weights: tokenWeights } of completions) {
      const logProbs = naiveLogProbs(config, weights, [...prompt, ...ids]).slice(prompt.length - 1)
      logProbs.forEach((logProb, i) => {
        sum += Math.fround(tokenWeights[i]!) * logProb
      })
    }
  return sum
}

const float64 = (tensors: readonly { name: string; data: Float32Array }[]): NaiveWeights =>
  new Map(tensors.map(({ name, data }) => [name, Float64Array.from(data)]))

/** Compares the slope of `value` along a random direction in each tensor with the gradient's. */
function slopesAgree(
  t: ExecutionContext,
  gradients: Map<string, Float32Array>,
  parameters: NaiveWeights,
  value: () => number,
): void {
  t.deepEqual([...gradients.keys()].sort(), [...parameters.keys()].sort())
  let worst = 0
  for (const [name, gradient] of gradients) {
    const tensor = parameters.get(name)!
    const original = Float64Array.from(tensor)
    const direction = uniform(`direction/${name}`, tensor.length)
    const at = (distance: number) => {
      for (let i = 0; i < tensor.length; i++) tensor[i] = original[i]! + distance * direction[i]!
      return value()
    }
    const slope = (at(epsilon) - at(-epsilon)) / (2 * epsilon)
    tensor.set(original)
    const product = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0)
    // A random direction sees 1/sqrt(3) of the norm of what is independent; errors are relative to the whole gradient.
    const norm = Math.sqrt(gradient.reduce((sum, g) => sum + g * g, 0))
    t.true(norm > 0, `${name} has a gradient`)
    const error = Math.abs(product - slope) / norm
    worst = Math.max(worst, error)
    t.true(error <= 1e-4, `${name}: ${product} for a slope of ${slope}, ${error} of the norm ${norm}`)
  }
  t.log(`worst relative difference ${worst.toExponential(1)} over ${gradients.size} tensors`)
}

for (const name of ['llama', 'llama-bias', 'mistral', 'qwen2', 'qwen3-tied', 'qwen3-untied', 'gemma3-untied'])
  test(`${name}: gradients of all weights are the slopes of a naive float64 computation`, async (t) => {
    const model = await openModel(t, goldenModel(name))
    const policy = await Policy.full(model)
    await policy.accumulate(batch)
    const gradients = await policyTensors(nativeOf(policy), 'gradients')
    const weights = float64(goldenTensors(name, readGolden<GoldenConfig>(`${name}/config.json`)))
    slopesAgree(t, gradients, weights, () => objective(model.config, weights))
  })

test('the naive computation is that of transformers', (t) => {
  for (const name of ['llama', 'qwen2', 'qwen3-untied', 'gemma3-untied']) {
    const { prompts } = readGolden<Golden>(`${name}/golden.json`)
    const weights = float64(goldenTensors(name, readGolden<GoldenConfig>(`${name}/config.json`)))
    const config = parseModelConfig(readGolden(`${name}/config.json`), name)
    const logProbs = naiveLogProbs(config, weights, prompts[1]!.ids)
    logProbs.forEach((logProb, i) => {
      t.true(Math.abs(logProb - prompts[1]!.promptLogProbs[i]!) < 1e-5, `${name}: ${logProb} at ${i}`)
    })
  }
})

test("llama: an adapter's gradients are the slopes of a naive float64 computation", async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const policy = await Policy.fromAdapter(model, join(goldenDir('llama'), 'adapter'))
  await policy.accumulate(batch)
  const native = nativeOf(policy)
  const gradients = await policyTensors(native, 'gradients')
  const stored = await policyTensors(native, 'weights')
  const adapter = float64([...stored].map(([name, data]) => ({ name, data })))
  const base = float64(goldenTensors('llama', readGolden<GoldenConfig>('llama/config.json')))
  const { r, lora_alpha: alpha } = readGolden<{ r: number; lora_alpha: number }>('llama/adapter/adapter_config.json')
  const merged = () => {
    const weights: NaiveWeights = new Map(base)
    for (const [name, a] of adapter) {
      if (!name.endsWith('.lora_A.weight')) continue
      const b = adapter.get(name.replace('lora_A', 'lora_B'))!
      const target = name.replace('base_model.model.', '').replace('.lora_A', '')
      const matrix = Float64Array.from(base.get(target)!)
      const columns = a.length / r
      for (let row = 0; row < b.length / r; row++)
        for (let k = 0; k < r; k++)
          for (let column = 0; column < columns; column++)
            matrix[row * columns + column]! += (alpha / r) * b[row * r + k]! * a[k * columns + column]!
      weights.set(target, matrix)
    }
    return weights
  }
  slopesAgree(t, gradients, adapter, () => objective(model.config, merged()))
})
