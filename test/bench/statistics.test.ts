import test from 'ava'
import { parseBusy } from '../../bench/machine.ts'
import { countedTrials, median, significant, spreadOf, type Trial } from '../../bench/statistics.ts'

const trial = (seconds: number, others = 0): Trial => ({ seconds, cpuSeconds: 2 * seconds, others })

test('the median of an even number of values lies between the middle two', (t) => {
  t.is(median([3, 1, 2]), 2)
  t.is(median([10, 1, 2, 4]), 3)
  t.throws(() => median([]), { instanceOf: RangeError })
})

test('trials beside a busy machine are left out while three quiet ones are there', (t) => {
  const quiet = [trial(1), trial(2, 0.2), trial(3)]
  t.deepEqual(countedTrials([...quiet, trial(9, 1.5)]), quiet)
  t.deepEqual(spreadOf([...quiet, trial(9, 1.5)]), {
    median: 2,
    min: 1,
    max: 3,
    trials: 3,
    dropped: 1,
    others: 0,
    cpuSeconds: 4,
  })
})

test('all trials count where too few were quiet, and short ones always do', (t) => {
  const busy = [trial(1), trial(2, 2), trial(3, 2), trial(4, 2)]
  t.is(spreadOf(busy).trials, 4)
  t.is(spreadOf(busy).others, 2)
  t.is(spreadOf([trial(0.01, 5), trial(0.02, 5), trial(0.03, 5)]).dropped, 0)
})

test('numbers are rounded to significant digits', (t) => {
  t.is(significant(1234.5678), 1235)
  t.is(significant(0.000123456), 0.0001235)
  t.is(significant(Number.NaN), Number.NaN)
})

test('busy time leaves out what was idle or waiting for a disk', (t) => {
  t.is(parseBusy('cpu  100 200 300 9999 8888 10 20 30 40 50'), 6.6)
})
