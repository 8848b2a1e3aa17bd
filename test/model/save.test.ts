import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Model } from '../../lib/model/model.ts'
import { Policy, type PolicyGroup } from '../../lib/model/policy.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenDir } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const groups: PolicyGroup[] = [
  {
    promptIds: Int32Array.from([3, 14, 15]),
    completions: [{ ids: Int32Array.from([92, 65, 35]), weights: Float32Array.from([1, -1, 0.5]) }],
  },
]

async function trained(policy: Policy): Promise<Policy> {
  await policy.accumulate(groups)
  await policy.step({ learningRate: 0.01 })
  return policy
}

const json = (folder: string, file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'))

for (const name of ['llama-bias', 'llama3', 'mistral', 'qwen2-window', 'qwen3-tied', 'qwen3-untied', 'gemma3'])
  for (const dtype of ['float32', 'bfloat16'] as const)
    test(`${name}, ${dtype}: a trained model is saved and opened as it was`, async (t) => {
      const policy = await trained(await Policy.full(await openModel(t, goldenModel(name), { dtype })))
      const folder = join(await temporaryFolder(t), 'deep', 'inside')
      await policy.save(folder)
      const model = await openModel(t, folder, { dtype: 'auto' })
      t.is(model.dtype, dtype)
      t.is(model.parameterCount, policy.parameterCount)
      t.deepEqual(model.config, { ...policy.model.config, dtype })
      t.deepEqual(await Policy.base(model).logProbs(groups), await policy.logProbs(groups))
      t.deepEqual(
        readdirSync(folder).filter((file) => file.endsWith('.part')),
        [],
      )
      t.is(json(folder, 'config.json').torch_dtype, undefined)
    })

test('an adapter is saved and opened as it was', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const adapters = [
    await trained(await Policy.lora(model, { rank: 3, alpha: 5, targets: ['q_proj', 'down_proj'], seed: 4 })),
    await trained(await Policy.fromAdapter(model, join(goldenDir('llama'), 'adapter-rslora'))),
  ]
  for (const adapter of adapters) {
    const folder = await temporaryFolder(t)
    await adapter.save(folder)
    t.deepEqual(readdirSync(folder).sort(), ['adapter_config.json', 'adapter_model.safetensors'])
    const opened = await Policy.fromAdapter(model, folder)
    t.is(opened.parameterCount, adapter.parameterCount)
    t.deepEqual(await opened.logProbs(groups), await adapter.logProbs(groups))
    const again = await temporaryFolder(t)
    await opened.save(again)
    for (const file of readdirSync(folder))
      t.true(readFileSync(join(again, file)).equals(readFileSync(join(folder, file))), file)
  }
})

test('the bare base is saved with its tokenizer and opened as it was', async (t) => {
  const source = tinyModel({ tokenizer: true, config: { eos_token_id: 10 } })
  writeFileSync(join(source, 'generation_config.json'), '{"eos_token_id": [11, 12]}')
  writeFileSync(join(source, 'secret-notes.txt'), 'not a part of the model')
  const policy = Policy.base(await openModel(t, source))
  const folder = await temporaryFolder(t)
  await policy.save(folder)
  t.deepEqual(readdirSync(folder).sort(), [
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'tokenizer.json',
  ])
  const model = await openModel(t, folder)
  t.deepEqual(model.endIds, [11, 12])
  const options = { seed: 0, maxNewTokens: 10, count: 2 }
  t.deepEqual(await Policy.base(model).generate(['abc'], options), await policy.generate(['abc'], options))
})

async function shardedCopy(t: ExecutionContext): Promise<{ folder: string; model: Model }> {
  const folder = await temporaryFolder(t)
  await cp(goldenDir('llama-sharded'), folder, { recursive: true })
  return { folder, model: await openModel(t, folder) }
}

test('a model saved over its own shards is the trained one', async (t) => {
  const { folder, model } = await shardedCopy(t)
  const policy = await trained(await Policy.full(model))
  await policy.save(folder)
  t.false(existsSync(join(folder, 'model.safetensors.index.json')))
  t.deepEqual(await Policy.base(await openModel(t, folder)).logProbs(groups), await policy.logProbs(groups))
  await policy.save(folder)
})

test('a folder that cannot be written is a coded error that names it', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const file = join(await temporaryFolder(t), 'file')
  writeFileSync(file, '')
  for (const policy of [Policy.base(model), await Policy.lora(model)])
    for (const folder of [file, join(file, 'below')]) await rejectsWith(t, () => policy.save(folder), 'ERR_RUN', folder)
})

test('a failed save leaves what was there', async (t) => {
  const model = await openModel(t, goldenModel('llama'))
  const folder = await temporaryFolder(t)
  await Policy.base(model).save(folder)
  const before = readFileSync(join(folder, 'model.safetensors'))
  const policy = await trained(await Policy.full(model))
  const { mkdirSync } = await import('node:fs')
  mkdirSync(join(folder, 'model.safetensors.part')) // the new file cannot be begun
  await rejectsWith(t, () => policy.save(folder), 'ERR_RUN', folder)
  t.true(readFileSync(join(folder, 'model.safetensors')).equals(before))
})
