import test from 'ava'
import { displayWidth, pad, plain, truncate, wrap } from '../../lib/ui/width.ts'

test('width counts columns, not code units', (t) => {
  t.is(displayWidth('abc'), 3)
  t.is(displayWidth('\u001B[31mabc\u001B[39m'), 3)
  t.is(displayWidth('日本'), 4)
  t.is(displayWidth('e\u0301'), 1)
  t.is(displayWidth('👩‍👩‍👧'), 2)
  t.is(displayWidth('🙂!'), 3)
  t.is(displayWidth('▁▂▃'), 3)
})

test('truncate keeps whole characters and never exceeds the columns', (t) => {
  t.is(truncate('abcdef', 6), 'abcdef')
  t.is(truncate('abcdefg', 6), 'abcde…')
  t.is(truncate('日本語', 4), '日…')
  t.is(truncate('日本語', 5), '日本…')
  t.is(truncate('👩‍👩‍👧👩‍👩‍👧', 3), '👩‍👩‍👧…')
  t.is(truncate('abc', 0), '')
})

test('pad fills by columns', (t) => {
  t.is(pad('日', 4), '日  ')
  t.is(pad('x', 3, 'left'), '  x')
  t.is(pad('long', 2), 'long')
})

test('wrap breaks at spaces, long words anywhere, and keeps line breaks', (t) => {
  t.deepEqual(wrap('one two three', 7), ['one two', 'three'])
  t.deepEqual(wrap('a\n\n  b', 10), ['a', '', '  b'])
  t.deepEqual(wrap('abcdefgh', 3), ['abc', 'def', 'gh'])
  t.deepEqual(wrap('one two three four', 7, 2), ['one two', 'three …'])
})

test('what a model writes cannot steer the terminal', (t) => {
  t.is(plain('a\u001B[2Jb\u0007c\rd\te'), 'a[2Jbcd  e')
  for (const line of wrap('x\u001B]0;title\u0007\u001B[31my\u009B31m', 20)) t.notRegex(line, /\p{Control}/u)
})
