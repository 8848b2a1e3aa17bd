import test from 'ava'
import { drawChart, formatValue, nearest, ticksOf, toMarkup, valuesAt } from '../../lib/watch/page/chart.js'
import { differencesOf } from '../../lib/watch/page/details.js'
import { chartOf, namesOf, type PanelRun, panelsOf, smooth } from '../../lib/watch/page/panels.js'
import { sampleTree } from '../../lib/watch/page/samples.js'
import { fakeSample } from '../support/fake-reports.ts'

const names = [
  'reward/mean',
  'reward/std',
  'reward/structure',
  'reward/zero_variance_share',
  'completion/length_mean',
  'completion/length_mean/first',
  'completion/length_std/first',
  'task/cooperation/wrapper',
  'task/jaccard',
  'memory/rss_bytes',
]
const run = (label: string, color: number): PanelRun => ({
  label,
  color,
  series: Object.fromEntries(names.map((name, index) => [name, { step: [1, 2], value: [index, index + 1] }])),
})

test('panels come from the names of the metrics', (t) => {
  const panels = panelsOf(names, ['first'])
  t.deepEqual(
    panels.filter(({ isMain }) => isMain).map(({ title }) => title),
    ['Reward', 'Reward parts', 'Cooperation schemes', 'Completion length', 'Memory', 'Groups with equal rewards'],
  )
  t.deepEqual(
    panels.filter(({ isMain }) => !isMain).map(({ title }) => title),
    ['completion/length_mean', 'task/jaccard'],
  )
  t.deepEqual(namesOf(panels.slice(0, 1)), ['reward/mean', 'reward/std'])
})

test('several runs get a colour each, and a panel for each part', (t) => {
  const panels = panelsOf([...names, 'reward/length'], ['first'], false)
  t.true(panels.some(({ title }) => title === 'Reward parts: length'))
  const chart = chartOf(panels[0]!, [run('a', 0), run('b', 3)])
  t.deepEqual(
    chart.lines.map(({ label, color }) => [label, color]),
    [
      ['a', 0],
      ['b', 3],
    ],
  )
  t.deepEqual(chart.lines[0]!.low, [-1, -1])
  t.deepEqual(chart.lines[0]!.high, [1, 3])
})

test('a smoothed line keeps its band around it', (t) => {
  const chart = chartOf(panelsOf(names, [])[0]!, [run('a', 0)], 0.5)
  const [line] = chart.lines
  t.deepEqual(line!.value, [0, 2 / 3])
  // The deviations 1 and 2 are smoothed alike.
  t.deepEqual(line!.high, [1, 2 / 3 + 5 / 3])
})

test('values are written for people', (t) => {
  const pairs: [number, string][] = [
    [0, '0'],
    [0.5, '0.5'],
    [1234, '1.23k'],
    [-0.00001, '-1.0e-5'],
    [100, '100'],
    [Number.NaN, '–'],
  ]
  for (const [value, text] of pairs) t.is(formatValue(value), text)
  t.is(formatValue(2 ** 28, 'bytes'), '256 MiB')
  t.is(formatValue(0.125, 'share'), '12.5 %')
})

test('ticks are round and inside', (t) => {
  t.deepEqual(ticksOf(0, 10, 5), [0, 2, 4, 6, 8, 10])
  t.deepEqual(
    ticksOf(-0.3, 0.8, 4).map((tick) => tick.toFixed(1)),
    ['0.0', '0.5'],
  )
  t.deepEqual(ticksOf(3, 3, 4), [3])
  t.deepEqual(ticksOf(-2.1000000000000005, -2.1, 5), [-2.1000000000000005])
  t.deepEqual(ticksOf(0.09999999999999999, 0.10000000000000002, 5), [0.09999999999999999])
})

test('empty, single and broken values draw without NaN', (t) => {
  const line = { label: 'x', color: 0 }
  for (const data of [
    { step: [], value: [] },
    { step: [3], value: [0] },
    { step: [1, 2, 3], value: [1, null as unknown as number, 2] },
    { step: [1, 2], value: [5, 5], low: [5, Number.NaN], high: [5, 6] },
  ]) {
    const markup = toMarkup(drawChart({ title: 'T', lines: [{ ...line, ...data }], legend: [] }))
    t.notRegex(markup, /NaN|Infinity|undefined/)
  }
})

test('what stands at a step', (t) => {
  const spec = { title: 'T', lines: [{ label: 'x', color: 1, step: [2, 4, 8], value: [1, 2, 3] }], legend: [] }
  t.deepEqual(valuesAt(spec, 5), [{ label: 'x', color: 1, step: 4, text: '2' }])
  t.is(nearest([1, 5, 9], 7.5), 2)
  t.is(nearest([1, 5, 9], -3), 0)
  t.is(nearest([], 1), -1)
})

test('a moving average starts at the first value', (t) => {
  t.deepEqual(
    smooth([2, 2, 2], 0.9).map((value) => value.toFixed(6)),
    ['2.000000', '2.000000', '2.000000'],
  )
  t.deepEqual(smooth([0, 3], 0.5), [0, 2])
})

test('what models write stays text', (t) => {
  const row = fakeSample(1)
  row.agents[0]!.completion = '</pre><script>alert("1")</script>\u0000'
  row.agents[0]!.name = `<img src=x onerror='1'>`
  const markup = toMarkup(sampleTree(row))
  t.notRegex(markup, /<script|<img/)
  t.false(markup.includes('\u0000'))
  t.true(markup.includes('&lt;script&gt;alert(&quot;1&quot;)'))
})

test('configurations are compared by setting', (t) => {
  const configs = [
    { name: 'a', steps: 3, team: { agents: ['x'] }, algorithm: { name: 'magrpo' } },
    { name: 'b', steps: 3, team: { agents: ['x', 'y'] }, algorithm: { name: 'marloo' }, seed: 2 },
  ]
  t.deepEqual(differencesOf(configs), [
    { key: 'team.agents', values: ['["x"]', '["x","y"]'] },
    { key: 'algorithm.name', values: ['magrpo', 'marloo'] },
    { key: 'seed', values: ['–', '2'] },
  ])
})
