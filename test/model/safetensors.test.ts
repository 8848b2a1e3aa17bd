import { execFileSync } from 'node:child_process'
import { readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { MagrpoError } from '../../lib/base/errors.ts'
import { Model } from '../../lib/model/model.ts'
import { readSafetensorsHeader, safetensorsHeader } from '../../lib/model/safetensors.ts'
import { rejectsWith } from '../support/errors.ts'
import { goldenDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { editSafetensors, type HeaderEntry, tinyModel } from '../support/tiny-model.ts'

const weights = 'model.safetensors'
const embedding = 'model.embed_tokens.weight'
const norm = 'model.norm.weight'

/** What can be wrong with a file, how the message names it, and how it comes about. */
const damages: Record<string, { says: (string | RegExp)[]; edit: (file: string) => void }> = {
  'an empty file': { says: ['at least 8 bytes'], edit: (file) => truncateSync(file, 0) },
  'a file cut off in the length': { says: ['at least 8 bytes'], edit: (file) => truncateSync(file, 5) },
  'a file cut off in the header': { says: ['cut off'], edit: (file) => truncateSync(file, 100) },
  'a file cut off in the data': {
    says: [/tensor ".*" ends at byte \d+ of the data but the file holds \d+/],
    edit: (file) => truncateSync(file, readFileSync(file).length - 4),
  },
  'a longer file': {
    says: [/its tensors end at byte \d+ of the data but the file holds \d+/],
    edit: (file) => writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(3)])),
  },
  'a header of 2^64 - 1 bytes': {
    says: ['18446744073709552000', 'cut off'],
    edit: (file) => writeFileSync(file, Buffer.concat([Buffer.alloc(8, 255), readFileSync(file).subarray(8)])),
  },
  'a header length of 0': { says: ['not JSON'], edit: (file) => overwrite(file, 0, Buffer.alloc(8)) },
  'a header that is no JSON': { says: ['not JSON'], edit: (file) => overwrite(file, 8, Buffer.from('}{')) },
  'a header that is a list': { says: ['not a JSON object'], edit: (file) => writeFileSync(file, withHeader('[]')) },
  'a header that is null': { says: ['not a JSON object'], edit: (file) => writeFileSync(file, withHeader('null')) },
  'a tensor that is null': {
    says: ['unknown dtype', '"x"'],
    edit: (file) => writeFileSync(file, withHeader('{"x":null}')),
  },
  'an unknown dtype': { says: [norm, '"F8_E9M9"'], edit: edit((header) => set(header, norm, { dtype: 'F8_E9M9' })) },
  'a dtype of another name in JavaScript': {
    says: [norm],
    edit: edit((header) => set(header, norm, { dtype: 'constructor' })),
  },
  'a lying dtype': { says: [norm, 'needs 128 bytes but has 256'], edit: edit((h) => set(h, norm, { dtype: 'BF16' })) },
  'a lying shape': { says: [norm, 'needs 260 bytes but has 256'], edit: edit((h) => set(h, norm, { shape: [65] })) },
  'a negative shape': { says: [norm, 'no valid shape'], edit: edit((h) => set(h, norm, { shape: [-64] })) },
  'a shape that is too large to count': {
    says: [norm],
    edit: edit((header) => set(header, norm, { shape: [2 ** 40, 2 ** 40] })),
  },
  'a shape of texts': {
    says: [norm, 'no valid shape'],
    edit: edit((header) => set(header, norm, { shape: ['64'] as unknown as number[] })),
  },
  'three offsets': {
    says: [norm, 'no valid data_offsets'],
    edit: edit((header) => set(header, norm, { data_offsets: [0, 256, 512] as unknown as [number, number] })),
  },
  'negative offsets': {
    says: [norm, 'no valid data_offsets'],
    edit: edit((header) => set(header, norm, { data_offsets: [-256, 0] })),
  },
  'offsets the wrong way round': {
    says: [norm, 'needs 256 bytes but has -256'],
    edit: edit((header) => set(header, norm, { data_offsets: [256, 0] })),
  },
  'offsets beyond the file': {
    says: [norm, 'ends at byte 1000000256'],
    edit: edit((header) => set(header, norm, { data_offsets: [1e9, 1e9 + 256] })),
  },
  'tensors that overlap': {
    says: ['inside the one before it'],
    edit: edit((header) => set(header, norm, { data_offsets: [0, 256] })),
  },
  'a hole between tensors': {
    says: ['leaves a hole'],
    edit: edit((header, data) => {
      for (const entry of Object.values(header)) {
        if (entry.data_offsets[0] === 0) continue
        entry.data_offsets = [entry.data_offsets[0] + 8, entry.data_offsets[1] + 8]
      }
      return Buffer.concat([data, Buffer.alloc(8)])
    }),
  },
}

function set(header: Record<string, HeaderEntry>, name: string, fields: Partial<HeaderEntry>): undefined {
  Object.assign(header[name]!, fields)
}

function edit(change: (header: Record<string, HeaderEntry>, data: Buffer) => Buffer | undefined) {
  return (file: string) => editSafetensors(file, change)
}

function overwrite(file: string, at: number, bytes: Buffer): void {
  const all = readFileSync(file)
  bytes.copy(all, at)
  writeFileSync(file, all)
}

function withHeader(text: string): Buffer {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)))
  return Buffer.concat([length, Buffer.from(text)])
}

for (const [name, { says, edit: damage }] of Object.entries(damages))
  test(`refused, naming the file: ${name}`, async (t) => {
    const folder = tinyModel()
    damage(join(folder, weights))
    const error = await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', join(folder, weights), ...says)
    t.is(error.details.file, join(folder, weights))
  })

/** What is well-formed but does not fit the model. */
const misfits: Record<string, { code: MagrpoError['code']; says: string[]; edit: (file: string) => void }> = {
  'a tensor of another shape': {
    code: 'ERR_MODEL_FORMAT',
    says: [embedding, '[128, 64]', '[64, 128]'],
    edit: edit((header) => set(header, embedding, { shape: [64, 128] })),
  },
  'integers as weights': {
    code: 'ERR_MODEL_UNSUPPORTED',
    says: [norm, 'I32'],
    edit: edit((header) => set(header, norm, { dtype: 'I32' })),
  },
  'weights of 8 bits': {
    code: 'ERR_MODEL_UNSUPPORTED',
    says: [norm, 'F8_E4M3', 'F32, F16 or BF16'],
    edit: edit((header) => set(header, norm, { dtype: 'F8_E4M3', shape: [256] })),
  },
  'weights of 4 bits': {
    code: 'ERR_MODEL_UNSUPPORTED',
    says: [norm, 'F4'],
    edit: edit((header) => set(header, norm, { dtype: 'F4', shape: [512] })),
  },
  'a missing tensor': {
    code: 'ERR_MODEL_UNSUPPORTED',
    says: ['model.norm.scale'],
    edit: edit((header) => {
      header['model.norm.scale'] = header[norm]!
      delete header[norm]
      return undefined
    }),
  },
  'NaN in a tensor': {
    code: 'ERR_MODEL_WEIGHTS',
    says: [norm, 'NaN'],
    edit: edit((header, data) => {
      data.writeFloatLE(Number.NaN, header[norm]!.data_offsets[0])
      return undefined
    }),
  },
  'infinity in a tensor': {
    code: 'ERR_MODEL_WEIGHTS',
    says: [embedding],
    edit: edit((header, data) => {
      data.writeFloatLE(Number.NEGATIVE_INFINITY, header[embedding]!.data_offsets[1] - 4)
      return undefined
    }),
  },
}

for (const [name, { code, says, edit: damage }] of Object.entries(misfits))
  test(`refused, naming file and tensor: ${name}`, async (t) => {
    const folder = tinyModel()
    damage(join(folder, weights))
    await rejectsWith(t, () => Model.load(folder), code, join(folder, weights), ...says)
  })

test('refused: a model without one of its tensors', async (t) => {
  const folder = tinyModel({ config: { tie_word_embeddings: false } })
  await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', 'lm_head.weight', join(folder, weights))
})

test('refused: more layers in the file than in the configuration, and fewer', async (t) => {
  const fewer = tinyModel({ config: { num_hidden_layers: 1, layer_types: null } })
  await rejectsWith(t, () => Model.load(fewer), 'ERR_MODEL_UNSUPPORTED', 'model.layers.1.')
  const more = tinyModel({ config: { num_hidden_layers: 3, layer_types: null } })
  await rejectsWith(t, () => Model.load(more), 'ERR_MODEL_FORMAT', 'model.layers.2.')
})

test('sizes in config.json that would need more memory than there is are found out before it is taken', async (t) => {
  const folder = tinyModel({ config: { vocab_size: 2 ** 31 - 1 } })
  await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', embedding, '2147483647')
})

const shard = 'model-00001-of-00001.safetensors'

const shards = () => {
  const folder = tinyModel({ name: 'llama' })
  renameSync(join(folder, weights), join(folder, shard))
  const index = join(folder, 'model.safetensors.index.json')
  return {
    folder,
    index,
    write: (map: unknown) => writeFileSync(index, JSON.stringify({ metadata: {}, weight_map: map })),
  }
}

for (const name of ['../elsewhere.safetensors', '/etc/passwd', 'a/b.safetensors', '..', '.', ''])
  test(`an index may name files beside it only: ${JSON.stringify(name)}`, async (t) => {
    const { folder, index, write } = shards()
    write({ [norm]: name })
    const says = [index, JSON.stringify(name), 'not the name of a file beside it']
    await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_FORMAT', ...says)
  })

test('refused: an index that is broken, names a missing file, or a tensor that its file lacks', async (t) => {
  const { folder, index, write } = shards()
  const load = () => Model.load(folder)
  for (const map of [undefined, null, 7, ['x'], { x: 7 }, { x: null }]) {
    write(map)
    await rejectsWith(t, load, 'ERR_MODEL_FORMAT', index)
  }
  writeFileSync(index, '{"weight_map": {')
  await rejectsWith(t, load, 'ERR_MODEL_FORMAT', index, 'not JSON')
  writeFileSync(index, 'null')
  await rejectsWith(t, load, 'ERR_MODEL_FORMAT', index)
  write({ [norm]: 'gone.safetensors' })
  await rejectsWith(t, load, 'ERR_MODEL_FORMAT', index, 'gone.safetensors')
  write({ 'model.other': shard })
  await rejectsWith(t, load, 'ERR_MODEL_FORMAT', index, 'model.other', shard)
})

test('refused: a folder without weights, and weights that are a folder', async (t) => {
  const folder = await temporaryFolder(t)
  writeFileSync(join(folder, 'config.json'), readFileSync(join(goldenDir('llama'), 'config.json')))
  await rejectsWith(t, () => Model.load(folder), 'ERR_MODEL_NOT_FOUND', folder, 'model.safetensors')
  await rejectsWith(t, () => readSafetensorsHeader(folder), 'ERR_MODEL_FORMAT', folder)
})

test('headers are read back as they were written', async (t) => {
  const folder = await temporaryFolder(t)
  const file = join(folder, 'x.safetensors')
  const tensor = fc.record({
    dtype: fc.constantFrom('F32' as const, 'BF16' as const),
    shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
  })
  const tensors = fc.dictionary(
    fc.string().filter((name) => name !== '__metadata__' && name !== '__proto__'),
    tensor,
  )
  await fc.assert(
    fc.asyncProperty(tensors, async (entries) => {
      const infos = Object.entries(entries).map(([name, entry]) => ({ name, ...entry }))
      const header = safetensorsHeader(infos, { format: 'pt' })
      const sizes = infos.map(({ dtype, shape }) => shape.reduce((a, b) => a * b, 1) * (dtype === 'F32' ? 4 : 2))
      writeFileSync(file, Buffer.concat([header, Buffer.alloc(sizes.reduce((a, b) => a + b, 0))]))
      const read = await readSafetensorsHeader(file)
      t.deepEqual(
        read.map(({ name, dtype, shape }) => ({ name, dtype, shape })).sort((a, b) => (a.name < b.name ? -1 : 1)),
        infos.map(({ name, dtype, shape }) => ({ name, dtype, shape })).sort((a, b) => (a.name < b.name ? -1 : 1)),
      )
      for (const [i, { name }] of infos.entries())
        t.is(
          read.find((entry) => entry.name === name)!.begin,
          header.length + sizes.slice(0, i).reduce((a, b) => a + b, 0),
        )
    }),
    { numRuns: 50 },
  )
})

test('whatever bytes a file holds, it is read or refused with a code', async (t) => {
  const folder = tinyModel()
  const file = join(folder, weights)
  const original = readFileSync(file)
  const headerEnd = 8 + Number(original.readBigUInt64LE())
  let refused = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: headerEnd }), fc.integer({ min: 0, max: 255 })), { minLength: 1 }),
      fc.option(fc.integer({ min: 0, max: original.length })),
      async (changes, length) => {
        const bytes = Buffer.from(original)
        for (const [at, value] of changes) bytes[at] = value
        writeFileSync(file, bytes.subarray(0, length ?? undefined))
        try {
          await readSafetensorsHeader(file)
        } catch (error) {
          refused++
          t.true(error instanceof MagrpoError && error.message.includes(file), String(error))
        }
      },
    ),
    { numRuns: 200 },
  )
  t.true(refused > 50)
})

test('refused: files that are named pipes, which nobody would ever finish opening', async (t) => {
  for (const name of [weights, 'tokenizer.json', 'tokenizer_config.json', 'generation_config.json', 'config.json']) {
    const folder = tinyModel({ tokenizer: true })
    rmSync(join(folder, name), { force: true })
    execFileSync('mkfifo', [join(folder, name)])
    const code = name === 'config.json' ? 'ERR_MODEL_NOT_FOUND' : 'ERR_MODEL_FORMAT'
    await rejectsWith(t, () => Model.load(folder), code, folder, name)
  }
})
