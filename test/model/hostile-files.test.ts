/** Small files of a model or adapter that are wrong in ways that no tool writes: errors with a code, and nothing wraps. */
import { rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { readSafetensorsHeader } from '../../lib/model/safetensors.ts'
import { rejectsWith } from '../support/errors.ts'
import { openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const deep = '['.repeat(100_000) + ']'.repeat(100_000)

for (const name of ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'])
  test(`${name}: nested too deep, no object, no text, a link to itself`, async (t) => {
    const folder = tinyModel({ tokenizer: true })
    const file = join(folder, name)
    for (const text of [
      `{"model_type":${deep},"eos_token_id":${deep},"model":${deep}}`,
      'null',
      '[]',
      '7',
      '"x"',
      '',
    ]) {
      writeFileSync(file, text)
      await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', file)
    }
    if (name === 'config.json') return
    rmSync(file)
    symlinkSync(file, file)
    await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', file, 'ELOOP')
  })

test('ids that end a completion are 32-bit', async (t) => {
  for (const eos_token_id of [2 ** 31, 2 ** 32 + 5, [5, 2 ** 53], 1e300]) {
    const folder = tinyModel()
    writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ eos_token_id }))
    await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', 'eos_token_id')
  }
})

test('adapter_config.json: no object, nested too deep, numbers that no adapter has', async (t) => {
  const model = await openModel(t, tinyModel())
  const folder = await temporaryFolder(t)
  const write = (text: string) => writeFileSync(join(folder, 'adapter_config.json'), text)
  const open = () => Policy.fromAdapter(model, folder)
  for (const text of ['null', '[]', `{"peft_type":"LORA","r":${deep}}`]) {
    write(text)
    await rejectsWith(t, open, 'ERR_MODEL_FORMAT', 'adapter_config.json')
  }
  const plain = '"peft_type":"LORA","target_modules":["q_proj"]'
  for (const numbers of ['"r":4294967298,"lora_alpha":1', '"r":1e300,"lora_alpha":1', '"r":2,"lora_alpha":1e400']) {
    write(`{${plain},${numbers}}`)
    await rejectsWith(t, open, 'ERR_ADAPTER', 'adapter_config.json')
  }
  write(`{${plain},"r":2,"lora_alpha":2,"constructor":1}`)
  await rejectsWith(t, open, 'ERR_ADAPTER', 'something unknown (1)')
})

test('a safetensors header that is nested too deep', async (t) => {
  const file = join(await temporaryFolder(t), 'x.safetensors')
  const header = Buffer.from(`{"a":{"dtype":${deep},"shape":[1],"data_offsets":[0,4]}}`)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(header.length))
  writeFileSync(file, Buffer.concat([length, header, Buffer.alloc(4)]))
  await rejectsWith(t, () => readSafetensorsHeader(file), 'ERR_MODEL_FORMAT', file, 'deep')
})
