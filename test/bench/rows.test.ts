import test from 'ava'
import { chooseRows, failedRow, finishRow, ratioOf, rowSpec, rows } from '../../bench/rows.ts'
import { markdownTable, rowCells, showNumber, textTable } from '../../bench/table.ts'

test('a ratio above one is good for rates and speed-ups, below one for costs', (t) => {
  t.is(ratioOf('rate', 600, 100), 6)
  t.is(ratioOf('speed-up', 0.5, 2), 4)
  t.is(ratioOf('cost', 50, 100), 0.5)
})

test('a row says whether its bar is met', (t) => {
  const row = finishRow(rowSpec('gen-own'), 'tiny', { ours: 600, peer: 100 })
  t.like(row, { id: 'gen-own', model: 'tiny', ours: 600, peer: 100, ratio: 6, bar: { atLeast: 6 }, isMet: true })
  t.is(finishRow(rowSpec('gen-own'), 'tiny', { ours: 599, peer: 100 }).isMet, false)
  t.is(finishRow(rowSpec('memory-full'), 'm30', { ours: 54, peer: 100 }).isMet, true)
  t.is(finishRow(rowSpec('memory-full'), 'm30', { ours: 56, peer: 100 }).isMet, false)
  t.like(finishRow(rowSpec('agents-4'), 'm30', { ours: 2, peer: 1, bar: 1.9 }), { bar: { atLeast: 1.9 }, isMet: true })
})

test('a row whose correctness failed has its numbers but no ratio', (t) => {
  const row = finishRow(rowSpec('gen-own'), 'tiny', { ours: 600, peer: 100, why: 'other tokens' })
  t.like(row, { ours: 600, peer: 100, ratio: null, why: 'other tokens', isMet: null })
  t.like(failedRow(rowSpec('ragged'), 'tiny', 'no Python'), { ours: null, peer: null, ratio: null, why: 'no Python' })
})

test('rows and models are chosen by name', (t) => {
  const names = (ids: string[], models: string[]) =>
    chooseRows('peers', ids, models).map(({ spec, model }) => `${spec.id}/${model}`)
  t.deepEqual(names(['gen-own', 'ragged'], ['tiny']), ['gen-own/tiny', 'ragged/tiny'])
  t.deepEqual(names(['gen-lora'], []), ['gen-lora/tiny', 'gen-lora/m30'])
  const error = t.throws(() => names(['gen'], []), { instanceOf: RangeError })
  t.true(error!.message.startsWith('Expected --rows among gen-own, gen-lora'))
  t.throws(() => names([], ['huge']), { message: /Expected --models among tiny, m30, bigv but received huge/ })
})

test('every row of the suites has a model and a bar', (t) => {
  for (const { id, bars } of rows)
    t.true(
      Object.values(bars).some((bar) => bar > 0),
      id,
    )
  t.is(chooseRows('peers', [], []).length, 20)
  t.is(chooseRows('limits', [], []).length, 7)
})

test('tables line up and escape what Markdown would read', (t) => {
  t.is(
    textTable(
      ['row', 'n'],
      [
        ['a', '1'],
        ['bcde', '20'],
      ],
    ),
    'row    n\n----  --\na      1\nbcde  20',
  )
  t.is(markdownTable(['a'], [['x|y']]), '| a |\n| --- |\n| x\\|y |')
  const { header, lines } = rowCells([
    finishRow(rowSpec('update-128'), 'm30', { ours: 1, peer: 2 }),
    failedRow(rowSpec('ragged'), 'tiny', 'why not'),
  ])
  t.is(lines[0]!.length, header.length)
  t.deepEqual(lines[0]!.slice(0, 8), ['update-128', 'm30', '1.00', '2.00', 's', '2.00', '≥ 1.70', 'yes'])
  t.is(lines[1]!.at(-1), 'why not')
})

test('numbers have three digits', (t) => {
  t.deepEqual([1234.5, 12.34, 0.012345, 0, null].map(showNumber), ['1235', '12.3', '0.0123', '0', '–'])
})
