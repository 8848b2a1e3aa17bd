import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { readAdapter } from '../../lib/model/adapter.ts'
import { projectionNames } from '../../lib/model/architecture.ts'
import { parseModelConfig, tensorNames } from '../../lib/model/config.ts'
import { readModelTensors, readSafetensorsHeader, shardsOf, toNativeSource } from '../../lib/model/safetensors.ts'
import { readGolden } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { damagedBytes, damagedJson, damagedJsonText, fuzz } from './fuzz.ts'

const codes = ['ERR_MODEL_FORMAT', 'ERR_MODEL_UNSUPPORTED', 'ERR_MODEL_NOT_FOUND'] as const
const configs = ['qwen2', 'qwen3-tied', 'llama3', 'mistral-window', 'gemma3'].map((name) =>
  readGolden<object>(`${name}/config.json`),
)

test('config.json', async (t) => {
  await fuzz(t, {
    inputs: damagedJson(...configs),
    read: (json) => parseModelConfig(json, 'config.json'),
    codes,
    check: (config) => {
      const { slidingWindows, endIds, rope, queryScalar, architecture, rmsNormEps: _, ...sizes } = config
      const counts = [...Object.values(sizes), ...endIds, ...slidingWindows].filter(
        (value) => typeof value === 'number',
      )
      if (!counts.every((count) => count >= 0 && count < 2 ** 31)) throw new Error('a number that the core would wrap')
      if (![rope.theta, rope.factor, queryScalar].every((value) => value > 0 && value < Infinity))
        throw new Error('rope')
      if (config.numLayers < 100 && tensorNames(config).size < config.numLayers) throw new Error(architecture)
    },
  })
})

/** A small safetensors file: 3 tensors of 2 dtypes. */
function smallFile(): { header: Record<string, unknown>; data: Buffer } {
  const entry = (dtype: string, shape: number[], begin: number, end: number) => ({
    dtype,
    shape,
    data_offsets: [begin, end],
  })
  return {
    header: {
      __metadata__: { format: 'pt' },
      a: entry('F32', [2, 3], 0, 24),
      b: entry('BF16', [4], 24, 32),
      c: entry('F16', [], 32, 34),
    },
    data: Buffer.alloc(34, 1),
  }
}

function withHeader(header: unknown, data: Buffer): Buffer {
  const text = Buffer.from(JSON.stringify(header) ?? '')
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, data])
}

test('headers of safetensors files', async (t) => {
  const file = join(await temporaryFolder(t), 'x.safetensors')
  const { header, data } = smallFile()
  const golden = readFileSync(join(goldenModel('llama'), 'model.safetensors')).subarray(0, 4000)
  const fields = damagedJson(header).map((json) => withHeader(json, data))
  const bytes = damagedBytes(withHeader(header, data), golden)
  for (const inputs of [fields, bytes])
    await fuzz(t, {
      inputs,
      read: (content) => {
        writeFileSync(file, content)
        return readSafetensorsHeader(file)
      },
      codes,
      check: (entries, content) => {
        for (const entry of entries) {
          if (!(entry.begin >= 8 && entry.begin <= entry.end && entry.end <= content.length))
            throw new Error('beyond the file')
          if (entry.dtype === 'F32') toNativeSource(entry)
        }
      },
    })
})

test('indices of shards', async (t) => {
  const folder = await temporaryFolder(t)
  const { header, data } = smallFile()
  writeFileSync(join(folder, 's1.safetensors'), withHeader(header, data))
  const index = {
    metadata: { total_size: 34 },
    weight_map: { a: 's1.safetensors', b: 's1.safetensors', c: 's1.safetensors' },
  }
  await fuzz(t, {
    inputs: damagedJsonText(index),
    read: async (text) => {
      writeFileSync(join(folder, 'model.safetensors.index.json'), text)
      return [await readModelTensors(folder), await shardsOf(folder)] as const
    },
    codes,
    check: ([, shards]) => {
      if (!shards.every((shard) => !shard.includes('/') && !shard.startsWith('..')))
        throw new Error('outside the folder')
    },
  })
})

test('adapter_config.json', async (t) => {
  const folder = await temporaryFolder(t)
  const config = {
    peft_type: 'LORA',
    r: 4,
    lora_alpha: 8,
    target_modules: ['q_proj', 'v_proj'],
    use_rslora: false,
    bias: 'none',
  }
  await fuzz(t, {
    inputs: damagedJsonText(config, {
      ...config,
      target_modules: 'all-linear',
      rank_pattern: {},
      init_lora_weights: true,
    }),
    read: (text) => {
      writeFileSync(join(folder, 'adapter_config.json'), text)
      return readAdapter(folder, projectionNames())
    },
    codes: [...codes, 'ERR_ADAPTER'],
    check: ({ settings: { rank, alpha, targets } }) => {
      if (!(Number.isInteger(rank) && rank > 0 && rank < 2 ** 31 && alpha > 0 && alpha < Infinity))
        throw new Error('numbers')
      if (!targets.every((target) => projectionNames().includes(target))) throw new Error('targets')
    },
  })
})
