import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import test from 'ava'
import { Tokenizer } from '../../lib/text/tokenizer.ts'
import { skipBecause } from '../support/skip.ts'
import type { TextCases } from './golden.ts'
import { golden, goldenTokenizer } from './golden.ts'

function compare(t: ExecutionContext, tokenizer: Tokenizer, { encoded, decoded }: TextCases): void {
  for (const { text, ids, plain } of encoded) {
    t.deepEqual([...tokenizer.encode(text)], ids, JSON.stringify(text))
    t.deepEqual([...tokenizer.encode(text, { addSpecialTokens: false })], plain, JSON.stringify(text))
  }
  for (const { ids, text, plain } of decoded) {
    t.is(tokenizer.decode(ids, { skipSpecialTokens: false }), text, JSON.stringify(ids))
    t.is(tokenizer.decode(Int32Array.from(ids)), plain, JSON.stringify(ids))
  }
}

for (const [name, cases] of Object.entries(golden.tokenizers))
  test(`${name}: ids and texts are those of transformers`, (t) => {
    const tokenizer = goldenTokenizer(name)
    t.deepEqual(tokenizer.special, cases.special)
    compare(t, tokenizer, cases)
  })

test('stories260K: ids and texts are those of transformers', async (t) => {
  const folder = fileURLToPath(new URL('../../../shared/models/stories260K', import.meta.url))
  if (!existsSync(folder)) {
    return skipBecause(t, 'no ../shared/models/stories260K')
  }
  const tokenizer = await Tokenizer.load(folder)
  t.is(tokenizer.vocabSize, 512)
  t.deepEqual([...tokenizer.specialIds].sort(), [0, 1, 2])
  compare(t, tokenizer, golden.stories260K)
})
