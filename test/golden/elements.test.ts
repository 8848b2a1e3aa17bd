/** References that go beyond the summaries of `golden.json`: every number of a gradient, and AdamW with the epsilon that ships. */
import { join } from 'node:path'
import test from 'ava'
import { close, openToRead, readBytes } from '../../lib/base/read-files.ts'
import { readSafetensorsHeader } from '../../lib/model/safetensors.ts'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { fitsSummary, type Golden, type GoldenTraining } from '../support/golden-values.ts'
import { policyTensors, scoresOf } from '../support/native-golden.ts'
import { openModel } from '../support/open-model.ts'

async function float32Tensors(file: string): Promise<Map<string, Float32Array>> {
  const tensors = new Map<string, Float32Array>()
  const descriptor = await openToRead(file)
  for (const { name, shape, begin } of await readSafetensorsHeader(file)) {
    const count = shape.reduce((product, size) => product * size, 1)
    const bytes = await readBytes(descriptor, begin, 4 * count)
    tensors.set(name, new Float32Array(Uint8Array.from(bytes).buffer))
  }
  await close(descriptor)
  return tensors
}

test('qwen3-tied: every number of the gradient is that of transformers', async (t) => {
  const golden = readGolden<Golden>('qwen3-tied/golden.json')
  const { native } = await openModel(t, goldenModel('qwen3-tied'), { dtype: 'float32' })
  const policy = await native.createPolicy({ kind: 'full' })
  t.teardown(() => policy.dispose())
  await scoresOf(native, golden.groups, policy, true)
  const gradients = await policyTensors(policy, 'gradients')
  const expected = await float32Tensors(join(goldenDir('qwen3-tied'), 'gradients.safetensors'))
  t.deepEqual([...gradients.keys()].sort(), [...expected.keys()].sort())
  let numbers = 0
  for (const [name, reference] of expected) {
    const actual = gradients.get(name)!
    t.is(actual.length, reference.length, name)
    numbers += actual.length
    const size = Math.sqrt(reference.reduce((sum, value) => sum + value * value, 0) / reference.length)
    let worst = 0
    for (const [i, value] of reference.entries()) {
      const off = Math.abs(actual[i]! - value) / Math.max(Math.abs(value), size)
      if (!(off <= worst)) worst = off
    }
    t.true(worst <= golden.tolerance.gradientsRelative, `${name}: off by ${worst} of its size`)
  }
  t.is(numbers, 94_656)
})

// With 1e-8 the first step of a number whose gradient is all but zero has the sign of rounding errors: another order of the same sums
// moves single numbers of the reference by up to 8e-4 of a tensor's size here, and by 2e-2 in qwen3-untied. So one model whose
// reference is steady has this case, its tolerance follows the measured noise, and the other models step with 1e-5.
test('llama: three AdamW steps with the epsilon that ships', async (t) => {
  const golden = readGolden<Golden>('llama/golden.json')
  const { epsilon, steps } = readGolden<{ epsilon: number } & Pick<GoldenTraining, 'steps'>>('llama/adamw-default.json')
  const { native } = await openModel(t, goldenModel('llama'), { dtype: 'float32' })
  const policy = await native.createPolicy({ kind: 'full' })
  t.teardown(() => policy.dispose())
  const { learningRates, betas, weightDecay, maxGradNorm } = golden.optimizer
  const [beta1, beta2] = betas
  t.is(epsilon, 1e-8)
  for (const [i, learningRate] of learningRates.entries()) {
    await scoresOf(native, golden.groups, policy, true)
    const { gradNorm } = await policy.step({
      learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      decayAll: true,
      maxGradNorm,
      moments: 'float32',
    })
    t.true(Math.abs(gradNorm - steps.gradNorms[i]!) <= 1e-4 * steps.gradNorms[i]!, `step ${i}: ${gradNorm}`)
  }
  const weights = await policyTensors(policy, 'weights')
  for (const [name, summary] of Object.entries(steps.weightsAfter))
    fitsSummary(t, name, weights.get(name)!, summary, 2e-4 + 5 * summary.noise)
})

test('llama-bias: weight decay of matrices alone is that of parameter groups in torch', async (t) => {
  const golden = readGolden<Golden>('llama-bias/golden.json')
  const { weightDecay, steps } = readGolden<{ weightDecay: number } & Pick<GoldenTraining, 'steps'>>(
    'llama-bias/adamw-groups.json',
  )
  const { native } = await openModel(t, goldenModel('llama-bias'), { dtype: 'float32' })
  const policy = await native.createPolicy({ kind: 'full' })
  t.teardown(() => policy.dispose())
  const { learningRates, betas, epsilon, maxGradNorm } = golden.optimizer
  const [beta1, beta2] = betas
  for (const [i, learningRate] of learningRates.entries()) {
    await scoresOf(native, golden.groups, policy, true)
    const step = {
      learningRate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      decayAll: false,
      maxGradNorm,
      moments: 'float32' as const,
    }
    const { gradNorm } = await policy.step(step)
    t.true(Math.abs(gradNorm - steps.gradNorms[i]!) <= 1e-4 * steps.gradNorms[i]!, `step ${i}: ${gradNorm}`)
  }
  const weights = await policyTensors(policy, 'weights')
  for (const [name, summary] of Object.entries(steps.weightsAfter))
    fitsSummary(t, name, weights.get(name)!, summary, 2e-4 + 5 * summary.noise)
})
