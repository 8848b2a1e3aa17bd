import test from 'ava'
import fc from 'fast-check'
import { MagrpoError } from '../../lib/base/errors.ts'
import { cutAtStop } from '../../lib/text/stop-strings.ts'

test('text is cut before the first stop string', (t) => {
  t.deepEqual(cutAtStop('one ENT two\n\nthree END', ['\n\n', 'END']), { text: 'one ENT two', stop: '\n\n' })
  t.deepEqual(cutAtStop('abcEN', ['END']), { text: 'abcEN' })
})

test('the stop string that is complete first wins, of equals the longest', (t) => {
  t.deepEqual(cutAtStop('xabcd', ['abcd', 'bc']), { text: 'xa', stop: 'bc' })
  t.deepEqual(cutAtStop('xabcd', ['bc', 'abc']), { text: 'x', stop: 'abc' })
  t.deepEqual(cutAtStop('aab', ['ab']), { text: 'a', stop: 'ab' })
  t.deepEqual(cutAtStop('abab', ['abc']), { text: 'abab' })
  t.deepEqual(cutAtStop('text', []), { text: 'text' })
})

test('characters outside of the basic plane stay whole', (t) => {
  // Both begin with the same surrogate.
  t.deepEqual(cutAtStop('a😀😁?', ['😁!']), { text: 'a😀😁?' })
  t.deepEqual(cutAtStop('a😀😁!', ['😁!']), { text: 'a😀', stop: '😁!' })
})

test('empty stop strings and half characters are refused', (t) => {
  for (const stop of ['', '\ud83d'])
    t.is(t.throws(() => cutAtStop('text', ['ok', stop]), { instanceOf: MagrpoError }).code, 'ERR_ARGUMENT')
})

/** The definition, letter by letter. */
function naiveCut(text: string, stops: readonly string[]): { text: string; stop?: string } {
  for (let end = 1; end <= text.length; end++) {
    const matches = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)
    if (matches[0] !== undefined) return { text: text.slice(0, end - matches[0].length), stop: matches[0] }
  }
  return { text }
}

test('the cut is that of the definition', (t) => {
  const letters = (minLength: number, maxLength: number) =>
    fc.string({ unit: fc.constantFrom('a', 'b', '😀'), minLength, maxLength })
  fc.assert(
    fc.property(letters(0, 40), fc.array(letters(1, 4), { maxLength: 3 }), (text, stops) => {
      t.deepEqual(cutAtStop(text, stops), naiveCut(text, stops))
    }),
    { numRuns: 3000, seed: 11 },
  )
})
