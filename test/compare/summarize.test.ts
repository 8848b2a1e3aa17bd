import test from 'ava'
import { comparisonMarkdown } from '../../lib/report/comparison/markdown.ts'
import { comparisonPicture } from '../../lib/report/comparison/picture.ts'
import { summarize } from '../../lib/report/comparison/summarize.ts'
import { tablesOf } from '../../lib/report/comparison/tables.ts'
import { comparisonLines } from '../../lib/report/comparison/text.ts'
import type { ComparisonAbout, ComparisonSample, ComparisonTiming } from '../../lib/report/comparison/types.ts'

const about: ComparisonAbout = {
  name: 'toy',
  task: 'mini-code',
  kind: 'code',
  maxReward: 1,
  items: 2,
  heldOut: true,
  samples: 3,
  seeds: [0, 1],
  timedItems: 2,
  shownMetrics: ['scheme/'],
  methods: [
    { name: 'Single model', play: 'single', turns: 1, weights: 'm' },
    { name: 'A | <team>', play: 'team', turns: 2, weights: 'trained here (final)' },
  ],
}

const row = (changes: Partial<ComparisonSample>): ComparisonSample => ({
  method: 'A | <team>',
  seed: 0,
  item: 0,
  sample: 0,
  turn: 0,
  said: [{ agent: 'aux', round: 0, prompt: 'p', completion: 'c', tokens: 5, finish: 'stop' }],
  texts: ['c'],
  reward: 0,
  parts: {},
  metrics: {},
  columns: { structure: 1, syntax: 1, tests: 0, cooperation: 0, return: 0 },
  passed: false,
  ...changes,
})

const scores = (value: number) => ({ structure: 1, syntax: 1, tests: value, cooperation: value, return: value })

/** Two turns each; seed 0 gets better with the second, seed 1 passes one of three samples of item 0 alone. */
const samples: ComparisonSample[] = [0, 1].flatMap((seed) =>
  [0, 1].flatMap((item) =>
    [0, 1, 2].flatMap((sample) => {
      const passed = seed === 0 || (item === 0 && sample === 0)
      const place = { seed, item, sample, metrics: { 'scheme/fallback': Number(passed), other: 1 } }
      return [
        row({ ...place, turn: 1, columns: scores(Number(passed)), passed }),
        row({ ...place, turn: 0, columns: scores(0), passed: sample === 2 }),
      ]
    }),
  ),
)
const single = [0, 1].flatMap((seed) =>
  [0, 1].map((item) =>
    row({
      method: 'Single model',
      seed,
      item,
      columns: { ...scores(0.5), cooperation: null, return: null },
      divided: item === 0,
      passed: true,
    }),
  ),
)
const timings: ComparisonTiming[] = [
  { method: 'A | <team>', seed: 0, item: 0, seconds: 1, tokens: 100 },
  { method: 'A | <team>', seed: 0, item: 1, seconds: 3, tokens: 100 },
  { method: 'A | <team>', seed: 1, item: 0, seconds: 2, tokens: 140 },
]
const comparison = summarize(about, [...samples, ...single], timings)
const [alone, team] = comparison.methods

const close = (value: number | undefined, expected: number) => Math.abs(value! - expected) < 1e-12

test('turns are averaged first, then joint completions, then seeds', (t) => {
  // Seed 0: 0 and 1 in two turns, 0.5; seed 1: one of six, 1/12.
  t.deepEqual(team!.columns.return!.values, [0.5, 1 / 12])
  t.true(close(team!.columns.return!.mean, 7 / 24))
  // Two seeds: 12.706 times half their distance.
  t.true(close(team!.columns.return!.half!, 12.706 * (0.5 - 1 / 12) * 0.5))
  t.is(team!.columns.structure!.half, 0)
  t.deepEqual(team!.tokens!.values, [10, 10])
  t.deepEqual(team!.metrics['scheme/fallback']!.values, [1, 1 / 6])
})

test('pass@k counts the last turn, for each k there are samples for', (t) => {
  t.deepEqual(Object.keys(team!.passAt), ['1', '3'])
  t.true(close(team!.passAt['1']!.values[0], 1) && close(team!.passAt['1']!.values[1], 1 / 6))
  t.true(close(team!.passAt['3']!.values[1], 0.5))
  t.deepEqual(alone!.passAt['1']!.values, [1, 1])
  t.false('3' in alone!.passAt)
})

test('speed is tokens over seconds of all items, time their mean', (t) => {
  t.deepEqual(team!.speed!.values, [50, 70])
  t.deepEqual(team!.time!.values, [2, 2])
  t.is(alone!.speed, null)
})

test('what a method does not have is null, and adherence is told', (t) => {
  t.is(alone!.columns.cooperation, null)
  t.is(alone!.columns.return, null)
  t.is(alone!.columns.tests!.mean, 0.5)
  t.is(alone!.divided!.mean, 0.5)
  t.is(team!.divided, null)
})

test("text: the columns of the paper's table, aligned", (t) => {
  const lines = comparisonLines(comparison)
  const header = lines.find((line) => line.includes('method'))!
  t.regex(header, /^ {2}method +tokens\/s +time \(s\) +structure +syntax +tests +cooperation +return$/)
  const first = lines.find((line) => line.startsWith('  Single model'))!
  t.regex(first, /– +– +100\.0 ±0\.0 +100\.0 ±0\.0 +50\.0 ±0\.0 +– +–$/)
  t.is(first.length, header.length)
  t.true(lines.some((line) => line.includes('scheme/fallback')) && !lines.some((line) => line.includes('other')))
  t.true(lines.some((line) => line.includes('Single model: 50.0 % of the answers')))
  t.true(lines.some((line) => line.includes('2 turns, scores averaged over turns')))
})

test('one seed has no interval; a task without a bound shows plain numbers', (t) => {
  const other = {
    ...about,
    kind: 'task' as const,
    maxReward: null,
    seeds: [0],
    methods: [{ ...about.methods[1]!, turns: 1 }],
  }
  const summed = summarize(other, [row({ columns: { length: 12.5, return: 3 }, passed: null })], [])
  t.deepEqual(tablesOf(summed), [
    { title: 'toy', header: ['method', 'length', 'return'], rows: [['A | <team>', '12.500', '3.000']] },
  ])
  t.true(comparisonLines(summed).some((line) => line.includes('one seed, so no interval')))
})

test('Markdown: cells cannot break the table', (t) => {
  const text = comparisonMarkdown(comparison)
  t.true(text.includes('| A \\| \\<team\\> | 60.0 ±127.1 |'))
  const rows = text.split('\n').filter((line) => line.startsWith('|'))
  t.is(new Set(rows.slice(0, 4).map((line) => line.replaceAll('\\|', '').split('|').length)).size, 1)
  t.true(text.endsWith('.\n'))
})

test('picture: well-formed, names escaped, light and dark, intervals inside their panels', (t) => {
  const svg = comparisonPicture(comparison)
  const open: string[] = []
  for (const [, close, name, selfClosing] of svg.matchAll(/<(\/?)([a-z]+)(?:\s[a-zA-Z:-]+="[^"<>]*")*\s*(\/?)>/g)) {
    if (close) t.is(open.pop(), name)
    else if (!selfClosing) open.push(name!)
  }
  t.deepEqual(open, [])
  t.true(svg.includes('A | &lt;team&gt;') && !svg.includes('<team>'))
  t.true(svg.includes('prefers-color-scheme:dark'))
  const width = Number(/ width="(\d+)"/.exec(svg)![1])
  for (const [, x, length] of svg.matchAll(/<rect class="(?:bar|best)" x="([\d.]+)" y="[\d.]+" width="([\d.-]+)"/g)) {
    t.true(Number(length) >= 0)
    t.true(Number(x) + Number(length) <= width)
  }
  t.notRegex(svg, /NaN|undefined|Infinity/)
})
