import test from 'ava'
import { editDistance, nearest, suggestion } from '../../lib/base/nearest.ts'

test('edit distance counts insertions, deletions, replacements and swaps', (t) => {
  t.is(editDistance('', 'abc'), 3)
  t.is(editDistance('kitten', 'sitting'), 3)
  t.is(editDistance('ab', 'ba'), 1)
  t.is(editDistance('same', 'same'), 0)
})

test('the nearest known word, whatever its case and separators', (t) => {
  const known = ['groupSize', 'jointMode', 'advantage']
  t.is(nearest('group_size', known), 'groupSize')
  t.is(nearest('gruopSize', known), 'groupSize')
  t.is(nearest('jointmode', known), 'jointMode')
  t.is(nearest('temperature', known), undefined)
  t.is(nearest('x', []), undefined)
})

test('the suggestion lists what is known where nothing is near', (t) => {
  t.is(suggestion('advantages', ['advantage', 'name']), 'did you mean "advantage"?')
  t.is(suggestion('zzzzzz', ['advantage', 'name']), 'known: advantage, name')
})
