/** Models that people trained. What needs them or data of others stands in this folder; all other tests make what they need. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Tokenizer } from '../../lib/text/tokenizer.ts'
import { babyModel, readGolden, skip, smolModel, storiesModel } from '../support/fixtures.ts'
import { closeTo } from '../support/golden-values.ts'
import { greedyOf, ownLogProbs } from '../support/native-golden.ts'
import { openModel } from '../support/open-model.ts'
import { golden, tokenizesAs } from '../text/golden.ts'

interface Greedy {
  prompt: number[]
  ids: number[]
  logProbs: number[]
}

interface RealGolden {
  tolerance: { logProbs: number }
  /** Of model.safetensors. */
  sha256: string
}

function sameWeights(t: ExecutionContext, folder: string, golden: RealGolden): void {
  const sum = createHash('sha256')
    .update(readFileSync(join(folder, 'model.safetensors')))
    .digest('hex')
  t.is(sum, golden.sha256, `${folder} holds other weights than the expected values are for`)
}

async function writesAsExpected(
  t: ExecutionContext,
  folder: string,
  expected: readonly Greedy[],
  stopIds: number[],
  tolerance: number,
): Promise<void> {
  const { native: model } = await openModel(t, folder)
  const limit = Math.max(...expected.map((entry) => entry.ids.length))
  const texts = await greedyOf(
    model,
    expected.map((entry) => entry.prompt),
    limit,
    stopIds,
  )
  expected.forEach((entry, i) => {
    t.deepEqual(texts[i]?.ids, entry.ids, `text ${i}`)
    closeTo(t, texts[i]?.logProbs ?? [], entry.logProbs, tolerance, `log-probs of text ${i}`)
  })
}

test('stories260K writes its published text and scores a story', async (t) => {
  const folder = storiesModel()
  if (folder === undefined) return skip(t, 'stories260K (node scripts/fixtures/stories260k.mjs)')
  const golden = readGolden<RealGolden & { greedy: Greedy; scored: Greedy }>('real-stories260K.json')
  const tolerance = golden.tolerance.logProbs
  await writesAsExpected(t, folder, [golden.greedy], [1, 2], tolerance)
  const { native: model } = await openModel(t, folder)
  const { prompt, ids, logProbs } = golden.scored
  const [actual] = await ownLogProbs(model, [[...prompt, ...ids]])
  closeTo(t, actual ?? [], logProbs, tolerance, 'log-probs of the story')
})

test('stories260K: ids and texts are those of transformers', async (t) => {
  const folder = storiesModel()
  if (folder === undefined) return skip(t, 'stories260K (node scripts/fixtures/stories260k.mjs)')
  const tokenizer = await Tokenizer.load(folder)
  t.is(tokenizer.vocabSize, 512)
  t.deepEqual([...tokenizer.specialIds].sort(), [0, 1, 2])
  tokenizesAs(t, tokenizer, golden.stories260K)
})

test('babyllama-tok105 writes as in transformers', async (t) => {
  const folder = babyModel()
  if (folder === undefined) return skip(t, 'babyllama-tok105 (a folder of that name in one named by MAGRPO_FIXTURES)')
  const golden = readGolden<RealGolden & { greedy: Greedy }>('real-babyllama.json')
  sameWeights(t, folder, golden)
  await writesAsExpected(t, folder, [golden.greedy], [2], golden.tolerance.logProbs)
})

test('SmolLM2-135M-Instruct answers chats as in transformers, in one batch', async (t) => {
  const folder = smolModel()
  if (folder === undefined) return skip(t, 'SmolLM2-135M-Instruct (python3 scripts/fixtures/smollm2.py)')
  const golden = readGolden<RealGolden & { chats: Greedy[] }>('real-smollm2.json')
  sameWeights(t, folder, golden)
  await writesAsExpected(t, folder, golden.chats, [2], golden.tolerance.logProbs)
})
