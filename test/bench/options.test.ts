import test from 'ava'
import { parseOptions } from '../../bench/options.ts'

test('defaults', (t) => {
  t.deepEqual(parseOptions(['peers'], 4), {
    suites: ['peers'],
    json: false,
    rows: [],
    models: [],
    reps: 7,
    threads: 4,
    device: 'cuda:0',
    quick: false,
    out: null,
    help: false,
  })
})

test('lists and numbers are read', (t) => {
  const options = parseOptions(
    ['peers', 'limits', '--rows', 'gen-own,ragged', '--models=tiny', '--reps', '3', '--json'],
    2,
  )
  t.like(options, { suites: ['peers', 'limits'], rows: ['gen-own', 'ragged'], models: ['tiny'], reps: 3, json: true })
})

test('what is not understood is said', (t) => {
  t.throws(() => parseOptions(['fast'], 2), { message: /Expected a suite among peers, .* but received fast/ })
  t.throws(() => parseOptions([], 2), { message: /Expected a suite/ })
  t.throws(() => parseOptions(['peers', '--reps', '0'], 2), { message: /positive integer for --reps but received 0/ })
  t.throws(() => parseOptions(['gpu', '--device', 'cpu'], 2), { message: /cuda:N for --device but received cpu/ })
  t.throws(() => parseOptions(['peers', '--fast'], 2), { instanceOf: RangeError })
})
