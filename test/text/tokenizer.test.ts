import test from 'ava'
import { golden, goldenTokenizer, tokenizesAs } from './golden.ts'

for (const [name, cases] of Object.entries(golden.tokenizers))
  test(`${name}: ids and texts are those of transformers`, (t) => {
    const tokenizer = goldenTokenizer(name)
    t.deepEqual(tokenizer.special, cases.special)
    tokenizesAs(t, tokenizer, cases)
  })
