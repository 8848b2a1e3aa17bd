import test from 'ava'
import fc from 'fast-check'
import { parseJson } from '../../lib/base/parse-json.ts'

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)

test('what nests deeper than anything can walk is refused', (t) => {
  t.notThrows(() => parseJson(nested(256)))
  t.throws(() => parseJson(nested(257)), { instanceOf: SyntaxError, message: /more than 256 deep/ })
  t.throws(() => parseJson(`${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`), { instanceOf: SyntaxError })
  t.notThrows(() => parseJson(`[${'[],'.repeat(1000)}0]`))
})

test('brackets and quotes in texts do not count', (t) => {
  const texts = [nested(300), '"['.repeat(300), '\\'.repeat(301), `${'\\"['.repeat(300)}`]
  t.deepEqual(parseJson(JSON.stringify(texts)), texts)
  fc.assert(
    fc.property(fc.jsonValue(), (value) =>
      t.deepEqual(parseJson(JSON.stringify(value)), JSON.parse(JSON.stringify(value))),
    ),
  )
})
