import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { goldenDir, readGolden } from '../support/fixtures.ts'
import {
  type GoldenConfig,
  goldenModel,
  goldenTensors,
  safetensorsBytes,
  tensorsSha256,
} from '../support/golden-models.ts'

const names = readdirSync(goldenDir(), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && readdirSync(goldenDir(entry.name)).includes('golden.json'))
  .map((entry) => entry.name)

test('there are golden models of every architecture', (t) => {
  const types = names.map((name) => readGolden<GoldenConfig>(`${name}/config.json`).model_type)
  t.deepEqual([...new Set(types)].sort(), ['gemma3_text', 'llama', 'mistral', 'qwen2', 'qwen3'])
})

for (const name of names) {
  test(`${name}: the formula gives the weights that the reference had`, (t) => {
    const tensors = goldenTensors(name, readGolden<GoldenConfig>(`${name}/config.json`))
    t.is(tensorsSha256(tensors), readGolden<{ weightsSha256: string }>(`${name}/golden.json`).weightsSha256)
  })
}

test('a golden model is written as a Hugging Face folder', (t) => {
  const folder = goldenModel('qwen2')
  t.deepEqual(readdirSync(folder).sort(), ['config.json', 'generation_config.json', 'model.safetensors'])
  const expected = safetensorsBytes(goldenTensors('qwen2', readGolden<GoldenConfig>('qwen2/config.json')))
  t.true(readFileSync(join(folder, 'model.safetensors')).equals(expected))
})
