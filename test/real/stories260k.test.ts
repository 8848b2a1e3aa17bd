import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { repositoryDir, skip, storiesModel } from '../support/fixtures.ts'

const script = join(repositoryDir, 'scripts/fixtures/stories260k.mjs')

interface Tensor {
  dtype: string
  shape: number[]
  data: Buffer
}

function readSafetensors(path: string): Map<string, Tensor> {
  const bytes = readFileSync(path)
  const headerEnd = 8 + Number(bytes.readBigUInt64LE(0))
  const header = JSON.parse(bytes.toString('utf8', 8, headerEnd)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const tensors = new Map<string, Tensor>()
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const data = bytes.subarray(headerEnd + data_offsets[0], headerEnd + data_offsets[1])
    tensors.set(name, { dtype, shape, data })
  }
  return tensors
}

/** The inverse of the script's re-ordering: rows (i, i + size / 2) of a head become neighbours. */
function rotaryNeighbours(rows: Buffer, heads: number, width: number): Buffer {
  const rowBytes = width * 4
  const size = rows.length / rowBytes / heads
  const order = Array.from({ length: heads * size }, (_, row) => {
    const inHead = row % size
    return row - inHead + (inHead % 2) * (size / 2) + Math.floor(inHead / 2)
  })
  return Buffer.concat(order.map((row) => rows.subarray(row * rowBytes, (row + 1) * rowBytes)))
}

interface TableCorrections {
  above: number[]
  below: number[]
}

/** Cosines and sines as llama2.c's export stored them: float32 throughout, its cosine off by one unit in the last place at times. */
function rotaryTables(context: number, headSize: number): Buffer {
  const corrections = JSON.parse(readFileSync(join(repositoryDir, 'test/real/stories260k-tables.json'), 'utf8'))
  const frequencies = Array.from({ length: headSize / 2 }, (_, i) =>
    Math.fround(1 / Math.fround(10000 ** ((2 * i) / headSize))),
  )
  const angles = Array.from({ length: context }, (_, position) => frequencies.map((f) => Math.fround(position * f)))
  const table = (f: (angle: number) => number, { above, below }: TableCorrections) => {
    const values = new Float32Array(angles.flat().map(f))
    const bits = new Int32Array(values.buffer)
    for (const i of above) bits[i] = (bits[i] ?? 0) + 1
    for (const i of below) bits[i] = (bits[i] ?? 0) - 1
    return Buffer.from(values.buffer)
  }
  return Buffer.concat([table(Math.cos, corrections.cos), table(Math.sin, corrections.sin)])
}

/** llama2.c's two files, from a folder in Hugging Face layout. */
function llama2cFiles(folder: string): { weights: Buffer; vocabulary: Buffer } {
  const tensors = readSafetensors(join(folder, 'model.safetensors'))
  const get = (name: string) => tensors.get(name)?.data ?? Buffer.alloc(0)
  const [layers, heads, kvHeads, width, context] = [5, 8, 4, 64, 512]
  const layered = (name: string, change = (data: Buffer) => data) =>
    Array.from({ length: layers }, (_, layer) => change(get(`model.layers.${layer}.${name}.weight`)))
  const weights = Buffer.concat([
    Buffer.from(new Int32Array([width, 172, layers, heads, kvHeads, 512, context]).buffer),
    get('model.embed_tokens.weight'),
    ...layered('input_layernorm'),
    ...layered('self_attn.q_proj', (data) => rotaryNeighbours(data, heads, width)),
    ...layered('self_attn.k_proj', (data) => rotaryNeighbours(data, kvHeads, width)),
    ...layered('self_attn.v_proj'),
    ...layered('self_attn.o_proj'),
    ...layered('post_attention_layernorm'),
    ...layered('mlp.gate_proj'),
    ...layered('mlp.down_proj'),
    ...layered('mlp.up_proj'),
    get('model.norm.weight'),
    rotaryTables(context, width / heads),
  ])
  const vocab = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')).model.vocab as Record<string, number>
  const pieces = Object.entries(vocab)
    .sort((a, b) => a[1] - b[1])
    .map(([text, id]) => {
      const bytes = Buffer.from(id === 1 || id === 2 ? `\n${text}\n` : text.replaceAll('▁', ' '))
      const head = Buffer.alloc(8)
      head.writeFloatLE(id < 259 ? 0 : -(id - 259), 0)
      if (id === 259) head.writeFloatLE(-0, 0)
      head.writeInt32LE(bytes.length, 4)
      return { longest: bytes.length, bytes: Buffer.concat([head, bytes]) }
    })
  const longest = Buffer.alloc(4)
  longest.writeInt32LE(Math.max(...pieces.map((piece) => piece.longest)))
  return { weights, vocabulary: Buffer.concat([longest, ...pieces.map((piece) => piece.bytes)]) }
}

test('the published llama2.c files convert to the known Hugging Face folder', (t) => {
  const known = storiesModel()
  if (known === undefined) return skip(t, 'stories260K (node scripts/fixtures/stories260k.mjs)')
  const temporary = mkdtempSync(join(tmpdir(), 'magrpo-stories-'))
  t.teardown(() => rmSync(temporary, { recursive: true }))
  const { weights, vocabulary } = llama2cFiles(known)
  writeFileSync(join(temporary, 'stories260K.bin'), weights)
  writeFileSync(join(temporary, 'tok512.bin'), vocabulary)
  const made = join(temporary, 'made')

  // The script checks the published sha256 sums, so the rebuilt files equal the published ones.
  const printed = execFileSync(process.execPath, [script, '--from', temporary, '--out', made], { encoding: 'utf8' })

  t.is(printed.trim().split('\n').at(-1), made)
  const expected = readSafetensors(join(known, 'model.safetensors'))
  const actual = readSafetensors(join(made, 'model.safetensors'))
  t.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort())
  for (const [name, tensor] of expected) {
    t.deepEqual(actual.get(name)?.shape, tensor.shape, name)
    t.true(actual.get(name)?.data.equals(tensor.data), name)
  }
  const json = (folder: string, file: string) => JSON.parse(readFileSync(join(folder, file), 'utf8'))
  t.deepEqual(json(made, 'tokenizer.json'), json(known, 'tokenizer.json'))
  const { transformers_version, ...config } = json(known, 'config.json')
  t.deepEqual(json(made, 'config.json'), config)
  t.deepEqual(json(made, 'generation_config.json').eos_token_id, [1, 2])
})
