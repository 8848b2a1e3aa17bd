/** Moments in 8 bits and bfloat16, through the package: they learn, their state resumes to the byte, and the plan counts them. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { ModelFormatError } from '../../lib/base/errors.ts'
import { sum } from '../../lib/base/statistics.ts'
import { momentBytes } from '../../lib/model/memory-terms.ts'
import type { Model } from '../../lib/model/model.ts'
import { Policy, type PolicyGroup } from '../../lib/model/policy.ts'
import { readPolicyState, trainedTensors, writePolicyState } from '../../lib/model/policy-state.ts'
import { readSafetensorsHeader } from '../../lib/model/safetensors.ts'
import { momentKinds, type StepOptions } from '../../lib/model/step-options.ts'
import { uniform } from '../support/golden-models.ts'
import { nativeOf, openModel } from '../support/open-model.ts'
import { writeRandomModel } from '../support/random-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** Some of its tensors have 4,096 weights and more, others less. */
async function modelFolder(t: ExecutionContext): Promise<string> {
  const folder = await temporaryFolder(t)
  writeRandomModel(folder, { layers: 2, hidden: 64, heads: 4, kvHeads: 2, headDim: 16, mlp: 100, vocab: 128 })
  return folder
}

const make = {
  full: (model: Model) => Policy.full(model),
  lora: (model: Model) => Policy.lora(model, { rank: 64, seed: 1 }),
}

/** Completions to make likely. */
const groups: PolicyGroup[] = Array.from({ length: 4 }, (_, g) => {
  const ids = (what: string, length: number) =>
    Int32Array.from(uniform(`${what}/${g}`, length), (u) => Math.floor((u + 1) * 64))
  return {
    promptIds: ids('prompt', 6),
    completions: [{ ids: ids('text', 8), weights: new Float32Array(8).fill(1 / 8) }],
  }
})

async function take(policy: Policy, steps: number, options: Partial<StepOptions>, from = 0): Promise<void> {
  for (let step = from; step < from + steps; step++) {
    await policy.accumulate([groups[step % groups.length]!])
    await policy.step({ learningRate: 1e-3, maxGradNorm: 1, ...options })
  }
}

/** Mean log-probability of a token. */
async function meanLogProb(policy: Policy): Promise<number> {
  const values = (await policy.logProbs(groups)).flatMap(({ logProbs }) => logProbs.flatMap((row) => [...row]))
  return sum(values) / values.length
}

test('smaller moments learn as float32 does', async (t) => {
  const folder = await modelFolder(t)
  const learned = new Map<string, number>()
  for (const moments of momentKinds) {
    const policy = await make.full(await openModel(t, folder))
    const before = await meanLogProb(policy)
    // Half of the way, where no run has come to its end yet.
    await take(policy, 60, { moments, learningRate: 4e-3 })
    learned.set(moments, (await meanLogProb(policy)) - before)
  }
  t.log(Object.fromEntries(learned))
  const expected = learned.get('float32')!
  t.true(expected > 1)
  for (const moments of ['bfloat16', 'int8'])
    t.true(Math.abs(learned.get(moments)! - expected) < 0.01 * expected, moments)
  t.is(new Set(learned.values()).size, 3)
})

const dtypes = { F32: 4, BF16: 2, U8: 1 } as Record<string, number>

for (const kind of ['full', 'lora'] as const)
  for (const dtype of ['float32', 'bfloat16'] as const)
    for (const moments of momentKinds)
      test(`${kind}, ${dtype}: a state with ${moments} moments goes on to the byte, and is as large as planned`, async (t) => {
        const folder = await modelFolder(t)
        const states = await temporaryFolder(t)
        const open = async () => make[kind](await openModel(t, folder, { dtype }))
        const stateOf = async (policy: Policy, name: string) => {
          await writePolicyState(policy, join(states, name))
          return ['weights', 'optimizer'].map((section) => readFileSync(join(states, `${name}.${section}.safetensors`)))
        }
        const whole = await open()
        await take(whole, 3, { moments })
        await writePolicyState(whole, join(states, 'middle'))
        await take(whole, 3, { moments }, 3)

        const resumed = await open()
        // What it had before goes.
        await take(resumed, 1, { moments: moments === 'int8' ? 'float32' : 'int8' })
        await readPolicyState(resumed, join(states, 'middle'))
        await take(resumed, 3, { moments }, 3)
        const [expected, actual] = [await stateOf(whole, 'whole'), await stateOf(resumed, 'resumed')]
        for (const [i, bytes] of expected.entries()) t.true(bytes.equals(actual[i]!))

        const entries = await readSafetensorsHeader(join(states, 'whole.optimizer.safetensors'))
        const ofMoments = entries.filter(({ name }) => name.startsWith('exp_avg'))
        const bytes = sum(ofMoments.map(({ begin, end }) => end - begin))
        t.is(bytes, momentBytes(trainedTensors(whole), moments))
        t.is(bytes, sum(ofMoments.map((entry) => dtypes[entry.dtype]! * entry.shape.reduce((a, b) => a * b, 1))))
        const used = new Set(ofMoments.map((entry) => entry.dtype))
        t.is(used.has('U8'), moments === 'int8')
        t.is(used.has('BF16'), moments === 'bfloat16')
      })

test('moments of another kind are converted by the next step', async (t) => {
  const folder = await modelFolder(t)
  const states = await temporaryFolder(t)
  const first = await make.full(await openModel(t, folder))
  await take(first, 4, {})
  await writePolicyState(first, join(states, 'float32'))
  await take(first, 40, {}, 4)
  for (const moments of ['int8', 'bfloat16'] as const) {
    const second = await make.full(await openModel(t, folder))
    await readPolicyState(second, join(states, 'float32'))
    await take(second, 40, { moments }, 4)
    const [actual, expected] = [await meanLogProb(second), await meanLogProb(first)]
    t.true(Math.abs(actual - expected) < 0.2, `${actual} for ${expected}`)
  }
})

test('a policy that never stepped takes no moments for being written or read', async (t) => {
  const folder = await modelFolder(t)
  const states = await temporaryFolder(t)
  const first = await make.full(await openModel(t, folder))
  await writePolicyState(first, join(states, 'fresh'))
  const second = await make.full(await openModel(t, folder))
  await take(second, 2, { moments: 'int8' })
  await readPolicyState(second, join(states, 'fresh'))
  await take(first, 3, { moments: 'int8' })
  await take(second, 3, { moments: 'int8' })
  for (const [name, policy] of Object.entries({ first, second })) await writePolicyState(policy, join(states, name))
  const [one, two] = ['first', 'second'].map((name) => readFileSync(join(states, `${name}.optimizer.safetensors`)))
  t.true(one!.equals(two!))
})

test('codes are read as codes alone', async (t) => {
  const folder = await modelFolder(t)
  const states = await temporaryFolder(t)
  mkdirSync(states, { recursive: true })
  const policy = await make.full(await openModel(t, folder))
  await take(policy, 1, { moments: 'int8' })
  await writePolicyState(policy, join(states, 'coded'))
  const file = join(states, 'coded.optimizer.safetensors')
  const entries = await readSafetensorsHeader(file)
  // A small tensor's floats, as if they were bytes.
  const sources = entries.map(({ end: _, ...entry }) => ({
    ...entry,
    dtype: (entry.name === 'exp_avg.model.norm.weight' ? 'U8' : entry.dtype) as 'F32',
  }))
  const error = await t.throwsAsync(nativeOf(policy).readTensors('optimizer', sources))
  t.regex(
    error!.message,
    /Expected floating-point numbers for tensor "exp_avg\.model\.norm\.weight" but .* has dtype Byte/,
  )
  t.is((error as ModelFormatError).code, 'ERR_MODEL_FORMAT')
})
