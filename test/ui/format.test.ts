import test from 'ava'
import { formatBytes, formatCount, formatDuration, formatMetric } from '../../lib/base/format.ts'
import { sparkline } from '../../lib/ui/sparkline.ts'
import { wantsColor } from '../../lib/ui/style.ts'

test('durations', (t) => {
  t.deepEqual([8.4, 59.6, 185, 7620, Number.NaN].map(formatDuration), [
    '8 s',
    '1 min 00 s',
    '3 min 05 s',
    '2 h 07 min',
    '–',
  ])
})

test('bytes and counts', (t) => {
  t.deepEqual([512, 1536, 200 * 1024 * 1024].map(formatBytes), ['512 B', '1.5 KiB', '200 MiB'])
  t.deepEqual([950, 12_345, 999_999, 4_500_000].map(formatCount), ['950', '12.3k', '1.0M', '4.5M'])
})

test('metrics keep what can be read', (t) => {
  t.deepEqual([0, 0.5, 5e-6, -2.34567, 3e9].map(formatMetric), ['0.000', '0.500', '5.0e-6', '-2.346', '3.0e+9'])
})

test('a sparkline spans its lowest to its highest value', (t) => {
  t.is(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 10), '▁▂▃▄▅▆▇█')
  t.is(sparkline([1, 1, 1], 10), '▄▄▄')
  t.is(sparkline([0, 0, 7, 7], 2), '▁█')
  t.is(sparkline([Number.NaN, 1, 2], 5), '▁█')
  t.is(sparkline([], 5), '')
})

test('NO_COLOR wins over everything, FORCE_COLOR over the stream', (t) => {
  t.true(wantsColor({ isTTY: true }, {}))
  t.false(wantsColor({ isTTY: false }, {}))
  t.false(wantsColor({ isTTY: true }, { NO_COLOR: '1', FORCE_COLOR: '1' }))
  t.true(wantsColor({ isTTY: true }, { NO_COLOR: '' }))
  t.true(wantsColor({ isTTY: false }, { FORCE_COLOR: '1' }))
  t.false(wantsColor({ isTTY: true }, { TERM: 'dumb' }))
})
