import test from 'ava'
import fc from 'fast-check'
import { StreamDecoder } from '../../lib/text/stream-decoder.ts'
import type { Tokenizer } from '../../lib/text/tokenizer.ts'
import { golden, goldenTokenizer } from './golden.ts'

/** All pieces, the flushed one last. */
function stream(tokenizer: Tokenizer, batches: number[][], skipSpecialTokens = true): string[] {
  const decoder = new StreamDecoder(tokenizer, { skipSpecialTokens })
  const pieces = batches.map((ids) => decoder.push(ids))
  return [...pieces, decoder.flush()]
}

const oneByOne = (ids: ArrayLike<number>) => Array.from(ids, (id) => [id])
const emoji = 'é 😀 👩‍👩‍👧 中文 end'

for (const name of Object.keys(golden.tokenizers)) {
  const tokenizer = goldenTokenizer(name)

  test(`${name}: any ids in any batches give the text of all ids`, (t) => {
    const id = fc.integer({ min: 0, max: tokenizer.vocabSize + 2 })
    // Byte tokens are few among all; without this runs of them would be rare.
    const byte = fc.integer({ min: 3, max: 260 })
    const batch = fc.array(fc.oneof(id, byte), { maxLength: 6 })
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 10 }), fc.boolean(), (batches, skipSpecialTokens) => {
        const pieces = stream(tokenizer, batches, skipSpecialTokens)
        t.is(pieces.join(''), tokenizer.decode(batches.flat(), { skipSpecialTokens }))
      }),
      { numRuns: 400, seed: 7 },
    )
  })

  test(`${name}: characters of several tokens come whole`, (t) => {
    const ids = tokenizer.encode(emoji, { addSpecialTokens: false })
    const pieces = stream(tokenizer, oneByOne(ids))
    t.is(pieces.join(''), emoji)
    for (const piece of pieces) {
      t.notRegex(piece, /\ufffd/)
      t.notRegex(piece, /\p{Surrogate}/u)
    }
    const whole = Array.from(ids, (id) => tokenizer.decode([id])).filter((text) => !text.includes('\ufffd'))
    t.true(whole.length < ids.length, 'some tokens are parts of characters')
    t.true(pieces.filter((piece) => piece !== '').length > 4, 'text comes early')
  })
}

test('a batch that ends within a character gives what is whole', (t) => {
  const tokenizer = goldenTokenizer('smollm-like')
  const ids = [...tokenizer.encode('a 𝄞')]
  const decoder = new StreamDecoder(tokenizer)
  t.is(decoder.push(ids.slice(0, -1)), 'a ')
  t.is(decoder.push(ids.slice(-1)), '𝄞')
  t.is(decoder.flush(), '')
})

test('the space that a tokenizer strips from the beginning stays in later pieces', (t) => {
  const tokenizer = goldenTokenizer('llama2-like')
  const ids = [...tokenizer.encode('a a a')]
  t.deepEqual(stream(tokenizer, oneByOne(ids)), ['', 'a', ' a', ' a', ''])
  t.is(stream(tokenizer, oneByOne([ids[1] as number, 1, ids[1] as number])).join(''), 'a a')
})

test('bytes that form no character are given at the end', (t) => {
  const tokenizer = goldenTokenizer('llama2-like')
  const bytes = [0xe2, 0x82].map((byte) => 3 + byte)
  t.deepEqual(stream(tokenizer, oneByOne(bytes)), ['', '', '\ufffd\ufffd'])
})

test('a decoder can be used again after it was flushed', (t) => {
  const tokenizer = goldenTokenizer('llama2-like')
  const decoder = new StreamDecoder(tokenizer)
  const ids = tokenizer.encode('the little girl')
  for (let i = 0; i < 2; i++) t.is(decoder.push(ids) + decoder.flush(), 'the little girl')
})
