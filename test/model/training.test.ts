/** What must hold of passes, steps and saved optimizer state. */
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import { Policy, type PolicyGroup } from '../../lib/model/policy.ts'
import { readSafetensorsHeader, safetensorsHeader, toNativeSource } from '../../lib/model/safetensors.ts'
import { accumulateBatch } from '../../lib/model/score.ts'
import { goldenDir } from '../support/fixtures.ts'
import { goldenModel, uniform } from '../support/golden-models.ts'
import { closeTo } from '../support/golden-values.ts'
import { policyTensors } from '../support/native-golden.ts'
import { nativeOf, openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const kinds = ['full', 'lora'] as const
type Kind = (typeof kinds)[number]

const create = (model: Model, kind: Kind): Promise<Policy> =>
  kind === 'full' ? Policy.full(model) : Policy.fromAdapter(model, join(goldenDir('llama'), 'adapter'))

/** Eight prompts of different lengths, three completions each. */
const groups: PolicyGroup[] = Array.from({ length: 8 }, (_, g) => {
  const ids = (what: string, length: number) =>
    Int32Array.from(uniform(`${what}/${g}`, length), (u) => Math.floor((u + 1) * 64))
  return {
    promptIds: ids('prompt', 3 + 2 * g),
    completions: Array.from({ length: 3 }, (_, c) => ({
      ids: ids(`completion/${c}`, 4 + ((g + c) % 5)),
      weights: Float32Array.from(uniform(`weights/${g}/${c}`, 4 + ((g + c) % 5))),
    })),
  }
})

const weighted = (change: (weight: number) => number): PolicyGroup[] =>
  groups.map(({ promptIds, completions }) => ({
    promptIds,
    completions: completions.map(({ ids, weights }) => ({ ids, weights: weights?.map(change) })),
  }))

const flat = (tensors: Map<string, Float32Array>): Float32Array =>
  Float32Array.from([...tensors.values()].flatMap((data) => [...data]))

const weightsOf = async (policy: Policy) => flat(await policyTensors(nativeOf(policy), 'weights'))
const gradientsOf = async (policy: Policy) => flat(await policyTensors(nativeOf(policy), 'gradients'))
const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))

function relativelyClose(t: ExecutionContext, actual: Float32Array, expected: Float32Array, relative: number): void {
  t.is(actual.length, expected.length)
  const difference = norm(actual.map((value, i) => value - expected[i]!)) / norm(expected)
  t.true(difference <= relative, `differs by ${difference} of the norm`)
}

for (const kind of kinds) {
  test(`${kind}: one by one, in twos or at once, passes add up to the same gradient`, async (t) => {
    const model = await openModel(t, goldenModel('llama'))
    const policy = await create(model, kind)
    await policy.accumulate(groups, { maxTokensPerMicroBatch: 100_000 })
    const whole = await gradientsOf(policy)
    t.true(norm(whole) > 0)
    for (const maxTokensPerMicroBatch of [1, 80]) {
      await policy.zeroGrad()
      t.is(norm(await gradientsOf(policy)), 0)
      await policy.accumulate(groups, { maxTokensPerMicroBatch })
      relativelyClose(t, await gradientsOf(policy), whole, 1e-6)
    }
    await policy.zeroGrad()
    for (const group of groups) await policy.accumulate([group])
    relativelyClose(t, await gradientsOf(policy), whole, 1e-6)
    await policy.zeroGrad()
    for (const { promptIds, completions } of groups)
      for (const completion of completions) await policy.accumulate([{ promptIds, completions: [completion] }])
    relativelyClose(t, await gradientsOf(policy), whole, 1e-6)
  })

  test(`${kind}: learning rate 0 leaves the weights as they are, to the last bit`, async (t) => {
    const policy = await create(await openModel(t, goldenModel('llama')), kind)
    const before = await weightsOf(policy)
    for (const weightDecay of [0, 0.1]) {
      await policy.accumulate(groups)
      const { gradNorm } = await policy.step({ learningRate: 0, weightDecay, maxGradNorm: 1 })
      t.true(gradNorm > 0)
      t.deepEqual(await weightsOf(policy), before)
    }
  })

  test(`${kind}: weights of zero leave no gradient, and a step without gradient and decay changes nothing`, async (t) => {
    const policy = await create(await openModel(t, goldenModel('llama')), kind)
    const before = await weightsOf(policy)
    const scores = await policy.accumulate(weighted(() => 0))
    t.deepEqual(scores, await policy.logProbs(groups))
    t.is(norm(await gradientsOf(policy)), 0)
    t.deepEqual(await policy.step({ learningRate: 0.1, weightDecay: 0 }), { gradNorm: 0, skipped: false })
    t.deepEqual(await weightsOf(policy), before)
  })

  test(`${kind}: a step goes up the weighted log-probs`, async (t) => {
    const policy = await create(await openModel(t, goldenModel('llama')), kind)
    const objective = async () => {
      const scores = await policy.logProbs(groups)
      return groups.reduce(
        (sum, { completions }, g) =>
          sum +
          completions.reduce(
            (inner, { weights }, c) =>
              inner + scores[g]!.logProbs[c]!.reduce((total, value, i) => total + value * weights![i]!, 0),
            0,
          ),
        0,
      )
    }
    const before = await objective()
    await policy.accumulate(groups)
    await policy.step({ learningRate: 1e-4, weightDecay: 0 })
    const after = await objective()
    t.true(after > before, `${before} to ${after}`)
    t.is(norm(await gradientsOf(policy)), 0, 'the step drops the gradient')
  })

  test(`${kind}: the gradient is linear in the weights, and its norm is the one before clipping`, async (t) => {
    const model = await openModel(t, goldenModel('llama'))
    const policy = await create(model, kind)
    await policy.accumulate(groups)
    const once = await gradientsOf(policy)
    await policy.accumulate(weighted((weight) => 2 * weight))
    relativelyClose(
      t,
      await gradientsOf(policy),
      once.map((value) => 3 * value),
      1e-6,
    )
    const { gradNorm } = await policy.step({ learningRate: 0, maxGradNorm: 0.5 })
    t.true(Math.abs(gradNorm - 3 * norm(once)) < 1e-4 * gradNorm, 'the norm is the one before clipping')
  })

  for (const dtype of ['float32', 'bfloat16'] as const)
    test(`${kind}, ${dtype}: saved, loaded and continued is never stopped`, async (t) => {
      const step = { learningRate: 1e-3, weightDecay: 0.1, maxGradNorm: 1 }
      const steps = async (policy: Policy, numbers: number[]) => {
        for (const number of numbers) {
          await policy.accumulate(groups.slice(2 * number, 2 * number + 2))
          await policy.step({ ...step, learningRate: step.learningRate / (number + 1) })
        }
      }
      const whole = await create(await openModel(t, goldenModel('llama'), { dtype }), kind)
      await steps(whole, [0, 1, 2, 3])

      const folder = await temporaryFolder(t)
      const first = await create(await openModel(t, goldenModel('llama'), { dtype }), kind)
      await steps(first, [0, 1])
      await first.save(join(folder, 'policy'))
      const state = join(folder, 'optimizer.safetensors')
      const header = safetensorsHeader(nativeOf(first).tensors('optimizer'), {})
      await nativeOf(first).writeTensors('optimizer', state, header)

      const second =
        kind === 'full'
          ? await Policy.full(await openModel(t, join(folder, 'policy'), { dtype: 'auto' }))
          : await Policy.fromAdapter(await openModel(t, goldenModel('llama'), { dtype }), join(folder, 'policy'))
      t.is(second.model.dtype, dtype)
      await nativeOf(second).readTensors('optimizer', (await readSafetensorsHeader(state)).map(toNativeSource))
      await steps(second, [2, 3])
      t.deepEqual(await second.logProbs(groups), await whole.logProbs(groups))

      const forgetful =
        kind === 'full'
          ? await Policy.full(await openModel(t, join(folder, 'policy'), { dtype: 'auto' }))
          : await Policy.fromAdapter(await openModel(t, goldenModel('llama'), { dtype }), join(folder, 'policy'))
      await steps(forgetful, [2, 3])
      t.notDeepEqual(await forgetful.logProbs(groups), await whole.logProbs(groups), 'the moments matter')
    })
}

test('two adapters and the base trained in one pass are each alone', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const make = async () => [await create(model, 'lora'), await Policy.lora(model, { rank: 4, seed: 3 })] as const
  const [one, two] = await make()
  const base = Policy.base(model)
  const part = groups.slice(0, 3)
  const unweighted = part.map(({ promptIds, completions }) => ({
    promptIds,
    completions: completions.map(({ ids }) => ({ ids })),
  }))
  const { scores } = await accumulateBatch([
    ...part.map((group) => ({ ...group, policy: two })),
    ...unweighted.map((group) => ({ ...group, policy: base })),
    ...part.map((group) => ({ ...group, policy: one })),
  ])
  const [aloneOne, aloneTwo] = await make()
  const expected = [
    ...(await aloneTwo.accumulate(part)),
    ...(await base.logProbs(unweighted)),
    ...(await aloneOne.accumulate(part)),
  ]
  scores.forEach(({ logProbs }, g) => {
    for (const [c, values] of logProbs.entries()) closeTo(t, values, expected[g]!.logProbs[c]!, 1e-5, `${g}, ${c}`)
  })
  relativelyClose(t, await gradientsOf(one), await gradientsOf(aloneOne), 1e-6)
  relativelyClose(t, await gradientsOf(two), await gradientsOf(aloneTwo), 1e-6)
})

test('training an adapter leaves the base as it was, to the last bit', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const before = await Policy.base(model).logProbs(groups)
  const adapter = await create(model, 'lora')
  await adapter.accumulate(groups)
  await adapter.step({ learningRate: 0.1 })
  t.deepEqual(await Policy.base(model).logProbs(groups), before)
  t.notDeepEqual(await adapter.logProbs(groups), before)
})

test('a full policy trains what the base of its model is', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const policy = await Policy.full(model)
  await policy.accumulate(groups)
  await policy.step({ learningRate: 0.01 })
  t.deepEqual(await Policy.base(model).logProbs(groups), await policy.logProbs(groups))
  const other = await openModel(t, goldenModel('llama'))
  t.notDeepEqual(await Policy.base(other).logProbs(groups), await policy.logProbs(groups))
})

test('bfloat16 weights gather steps that are too small for them', async (t) => {
  const policy = await Policy.full(await openModel(t, goldenModel('llama'), { dtype: 'bfloat16' }))
  const before = await policy.logProbs(groups)
  for (let step = 0; step < 40; step++) {
    await policy.accumulate(groups.slice(0, 1))
    await policy.step({ learningRate: 5e-5, weightDecay: 0 })
  }
  t.notDeepEqual(await policy.logProbs(groups), before)
})

test('a gradient that is not finite changes nothing, is reported and dropped', async (t) => {
  const policy = await create(await openModel(t, goldenModel('llama')), 'lora')
  const before = await weightsOf(policy)
  await policy.accumulate(weighted((weight) => weight * 3e38))
  const { gradNorm, skipped } = await policy.step({ learningRate: 0.1 })
  t.true(skipped)
  t.false(Number.isFinite(gradNorm))
  t.deepEqual(await weightsOf(policy), before)
  await policy.accumulate(groups)
  t.false((await policy.step({ learningRate: 0.1 })).skipped)
})

test("an adapter's random start is a function of its seed", async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const start = async (seed: number) => weightsOf(await Policy.lora(model, { rank: 2, seed }))
  t.deepEqual(await start(5), await start(5))
  t.notDeepEqual(await start(6), await start(5))
})

test('a step beside the sampling of other policies changes only its own', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const [one, two] = [await create(model, 'lora'), await Policy.lora(model, { rank: 4 })]
  const prompt = groups[0]!.promptIds
  const expected = await two.generate([prompt], { seed: 0, maxNewTokens: 40 })
  const [generated] = await Promise.all([
    two.generate([prompt], { seed: 0, maxNewTokens: 40 }),
    one.accumulate(groups).then(() => one.step({ learningRate: 0.1 })),
  ])
  t.deepEqual(generated[0]!.samples[0]!.ids, expected[0]!.samples[0]!.ids)
})

test('a size of micro-batches that is no positive integer is refused', async (t) => {
  for (const maxTokensPerMicroBatch of [0, -5, 1.5, Number.NaN])
    await t.throwsAsync(accumulateBatch([], { maxTokensPerMicroBatch }), {
      code: 'ERR_CONFIG',
      message: new RegExp(`maxTokensPerMicroBatch: expected an integer from 1 up; received ${maxTokensPerMicroBatch}`),
    })
})
