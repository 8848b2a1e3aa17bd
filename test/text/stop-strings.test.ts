import test from 'ava'
import fc from 'fast-check'
import { MagrpoError } from '../../lib/base/errors.ts'
import { cutAtStop, StopStringMatcher } from '../../lib/text/stop-strings.ts'

test('text is cut before the first stop string, which may come in pieces', (t) => {
  const matcher = new StopStringMatcher(['\n\n', 'END'])
  t.deepEqual(matcher.push('one E'), { text: 'one ' })
  t.deepEqual(matcher.push('N'), { text: '' })
  t.deepEqual(matcher.push('T two\n'), { text: 'ENT two' })
  t.deepEqual(matcher.push('\nthree'), { text: '', stop: '\n\n' })
  t.is(matcher.stop, '\n\n')
  t.deepEqual(matcher.push('four'), { text: '', stop: '\n\n' })
  t.is(matcher.flush(), '')
})

test('what was kept back comes with flush', (t) => {
  const matcher = new StopStringMatcher(['END'])
  t.is(matcher.push('abcEN').text, 'abc')
  t.is(matcher.flush(), 'EN')
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
  const matcher = new StopStringMatcher(['😁!'])
  t.is(matcher.push('a😀').text, 'a😀')
  t.is(matcher.push('😁').text, '')
  t.is(matcher.push('?').text, '😁?')
})

test('empty stop strings and half characters are refused', (t) => {
  for (const stop of ['', '\ud83d'])
    t.is(t.throws(() => new StopStringMatcher(['ok', stop]), { instanceOf: MagrpoError }).code, 'ERR_ARGUMENT')
})

/** The definition, letter by letter. */
function naiveCut(text: string, stops: readonly string[]): { text: string; stop?: string } {
  for (let end = 1; end <= text.length; end++) {
    const matches = stops.filter((stop) => text.slice(0, end).endsWith(stop)).sort((a, b) => b.length - a.length)
    if (matches[0] !== undefined) return { text: text.slice(0, end - matches[0].length), stop: matches[0] }
  }
  return { text }
}

test('the result does not depend on the pieces, and nothing is given too early', (t) => {
  const letters = (minLength: number, maxLength: number) =>
    fc.string({ unit: fc.constantFrom('a', 'b', '😀'), minLength, maxLength })
  fc.assert(
    fc.property(
      fc.array(letters(0, 5), { maxLength: 8 }),
      fc.array(letters(1, 4), { maxLength: 3 }),
      (pieces, stops) => {
        const expected = naiveCut(pieces.join(''), stops)
        t.deepEqual(cutAtStop(pieces.join(''), stops), expected)
        const matcher = new StopStringMatcher(stops)
        let text = ''
        for (const piece of pieces) {
          text += matcher.push(piece).text
          t.true(expected.text.startsWith(text))
        }
        t.is(text + matcher.flush(), expected.text)
        t.is(matcher.stop, expected.stop)
      },
    ),
    { numRuns: 3000, seed: 11 },
  )
})
