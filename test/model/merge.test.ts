/** Adapters added to the weights of their base: the sum computes what base and adapter did. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { mergeAdapter } from '../../lib/model/merge.ts'
import { Policy, type PolicyGroup } from '../../lib/model/policy.ts'
import { readSafetensorsHeader } from '../../lib/model/safetensors.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenDir } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { closeTo } from '../support/golden-values.ts'
import { openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const groups: PolicyGroup[] = [
  { promptIds: Int32Array.from([3, 14, 15]), completions: [{ ids: Int32Array.from([92, 65, 35, 8, 97]) }] },
]
const scored = async (policy: Policy) => (await policy.logProbs(groups))[0]!.logProbs[0]!
const distance = (a: Float32Array, b: Float32Array) => Math.max(...a.map((x, i) => Math.abs(x - b[i]!)))

const cases = [
  ['llama', 'adapter'],
  ['llama', 'adapter-rslora'],
  ['llama-bias', 'adapter'],
  ['mistral', 'adapter'],
  ['qwen2', 'adapter'],
  ['qwen3-tied', 'adapter'],
  ['gemma3', 'adapter'],
] as const

for (const [name, adapter] of cases)
  test(`${name}, ${adapter}: merged weights compute what base and adapter do`, async (t) => {
    const model = await openModel(t, goldenModel(name))
    const policy = await Policy.fromAdapter(model, join(goldenDir(name), adapter))
    const folder = await temporaryFolder(t)
    await policy.save(folder, { merged: true })
    const expected = await scored(policy)
    t.true(distance(expected, await scored(Policy.base(model))) > 1e-3, 'the adapter does something')
    t.false(readdirSync(folder).some((file) => /adapter|part/.test(file)))
    closeTo(t, await scored(Policy.base(await openModel(t, folder))), expected, 1e-4, 'merged')
  })

test('every element is the sum, in bfloat16 rounded to the nearest', async (t) => {
  for (const dtype of ['float32', 'bfloat16'] as const) {
    const model = await openModel(t, goldenModel('llama'), { dtype })
    const policy = await Policy.fromAdapter(model, goldenDir('llama/adapter'))
    const folder = await temporaryFolder(t)
    await Policy.base(model).save(join(folder, 'base'))
    await policy.save(join(folder, 'adapter'))
    await policy.save(join(folder, 'merged'), { merged: true })
    const read = async (file: string) => {
      const bytes = readFileSync(join(folder, file))
      const entries = await readSafetensorsHeader(join(folder, file))
      return new Map(
        entries.map(({ name, begin, shape, dtype: stored }) => {
          const size = shape.reduce((a, b) => a * b, 1)
          const value = (i: number) => {
            if (stored === 'F32') return bytes.readFloatLE(begin + 4 * i)
            const word = Buffer.alloc(4)
            bytes.copy(word, 2, begin + 2 * i, begin + 2 * i + 2)
            return word.readFloatLE(0)
          }
          return [name, { shape, values: Array.from({ length: size }, (_, i) => value(i)) }] as const
        }),
      )
    }
    const base = await read('base/model.safetensors')
    const adapter = await read('adapter/adapter_model.safetensors')
    const merged = await read('merged/model.safetensors')
    const { r, lora_alpha: alpha } = JSON.parse(readFileSync(join(folder, 'adapter/adapter_config.json'), 'utf8'))
    t.deepEqual([...merged.keys()].sort(), [...base.keys()].sort())
    let changed = 0
    for (const [name, { shape, values }] of merged) {
      const stem = `base_model.model.${name.replace(/\.weight$/, '')}`
      const [a, b] = [adapter.get(`${stem}.lora_A.weight`), adapter.get(`${stem}.lora_B.weight`)]
      if (a === undefined || b === undefined) {
        t.deepEqual(values, base.get(name)!.values, name)
        continue
      }
      changed++
      const inputs = shape[1]!
      const wrong = values.filter((value, i) => {
        let sum = 0
        for (let k = 0; k < r; k++)
          sum += b.values[Math.floor(i / inputs) * r + k]! * a.values[k * inputs + (i % inputs)]!
        const exact = base.get(name)!.values[i]! + (alpha / r) * sum
        // Half a unit in the last place of bfloat16 is at most 2⁻⁸ of the value.
        return Math.abs(value - exact) > Math.abs(exact) * (dtype === 'float32' ? 1e-5 : 2 ** -8 * 1.001) + 1e-7
      })
      t.is(wrong.length, 0, name)
    }
    t.true(changed >= 14)
  }
})

test('of policies that are no adapters nothing changes; an abort and a misfit leave no folder to be mistaken', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const folder = await temporaryFolder(t)
  await Policy.base(model).save(join(folder, 'plain'))
  await Policy.base(model).save(join(folder, 'merged'), { merged: true })
  const bytes = (name: string) => readFileSync(join(folder, name, 'model.safetensors'))
  t.true(bytes('plain').equals(bytes('merged')))
  const base = join(folder, 'plain/model.safetensors')
  const own = goldenDir('llama/adapter/adapter_model.safetensors')
  await rejectsWith(t, () => mergeAdapter(own, own, 1), 'ERR_MODEL_FORMAT', own, 'lora_A')
  const reason = new Error('enough')
  t.is(await t.throwsAsync(mergeAdapter(base, own, 1, AbortSignal.abort(reason))), reason)
  t.true(bytes('plain').equals(bytes('merged')), 'neither wrote anything')
})
