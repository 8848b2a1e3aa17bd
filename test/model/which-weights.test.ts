/** Folders from which more than one set of weights could be read give those that transformers reads. */
import { copyFileSync, cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Policy } from '../../lib/model/policy.ts'
import { goldenDir } from '../support/fixtures.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { editJson, editSafetensors, tinyModel } from '../support/tiny-model.ts'

const weights = 'model.safetensors'
const embedding = 'model.embed_tokens.weight'
const head = 'lm_head.weight'

async function scoresOf(t: ExecutionContext, folder: string): Promise<number[]> {
  const model = await openModel(t, folder)
  const ids = Int32Array.of(5, 6, 7)
  const [scores] = await Policy.base(model).logProbs([{ promptIds: ids, completions: [{ ids }] }])
  return [...scores!.logProbs[0]!]
}

/** Adds a head to a tied model: the embedding's bytes, changed by `change`. */
function addHead(folder: string, change: (bytes: Buffer) => void): void {
  editSafetensors(join(folder, weights), (header, data) => {
    const entry = header[embedding]!
    const bytes = Buffer.from(data.subarray(...entry.data_offsets))
    change(bytes)
    header[head] = { ...entry, data_offsets: [data.length, data.length + bytes.length] }
    return Buffer.concat([data, bytes])
  })
}

test('a single file counts, not the older shards beside it', async (t) => {
  const folder = await temporaryFolder(t)
  cpSync(goldenDir('llama-sharded'), folder, { recursive: true })
  const newer = tinyModel({ name: 'llama' })
  editSafetensors(join(newer, weights), (_, data) => {
    for (let at = 0; at < data.length; at += 4) data.writeFloatLE(data.readFloatLE(at) * 0.5, at)
    return data
  })
  copyFileSync(join(newer, weights), join(folder, weights))
  const [both, single] = [await scoresOf(t, folder), await scoresOf(t, newer)]
  t.deepEqual(both, single)
  t.notDeepEqual(both, await scoresOf(t, goldenModel('llama')))
})

test('a head that differs from the embedding is kept, though config.json ties them, and saved as it is', async (t) => {
  const [tied, untied] = [tinyModel(), tinyModel({ config: { tie_word_embeddings: false } })]
  for (const folder of [tied, untied]) addHead(folder, (bytes) => bytes.writeFloatLE(7, 0))
  const scores = await scoresOf(t, tied)
  t.deepEqual(scores, await scoresOf(t, untied))
  const saved = await temporaryFolder(t)
  await Policy.base(await openModel(t, tied)).save(saved)
  t.is(JSON.parse(readFileSync(join(saved, 'config.json'), 'utf8')).tie_word_embeddings, false)
  t.deepEqual(await scoresOf(t, saved), scores)
})

test('a head that equals the embedding is the embedding, and so is a head alone', async (t) => {
  const expected = await scoresOf(t, goldenModel('qwen3-tied'))
  const [equal, alone] = [tinyModel(), tinyModel()]
  addHead(equal, () => {})
  editSafetensors(join(alone, weights), (header) => {
    header[head] = header[embedding]!
    delete header[embedding]
    return undefined
  })
  for (const folder of [equal, alone]) {
    t.deepEqual(await scoresOf(t, folder), expected)
    const model = await openModel(t, folder)
    t.true(model.config.tieWordEmbeddings)
  }
})

test('a Mistral whose layers are listed slides on those alone', async (t) => {
  const listed = tinyModel({ name: 'mistral-window' })
  editJson(join(listed, 'config.json'), (json) => ({
    ...json,
    layer_types: Array.from({ length: json.num_hidden_layers as number }, () => 'full_attention'),
  }))
  const full = tinyModel({ name: 'mistral-window', config: { sliding_window: null } })
  t.deepEqual(await scoresOf(t, listed), await scoresOf(t, full))
})
