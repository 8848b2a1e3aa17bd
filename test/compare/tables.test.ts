import test from 'ava'
import { tablesOf } from '../../lib/report/comparison/tables.ts'
import type { Comparison, MethodSummary } from '../../lib/report/comparison/types.ts'

const estimate = (mean: number) => ({ mean, half: null, values: [mean] })

function comparison(metrics: Record<string, number>[]): Comparison {
  const methods = metrics.map(
    (values, index): MethodSummary => ({
      name: `method ${index}`,
      speed: null,
      time: null,
      columns: {},
      passAt: {},
      divided: null,
      metrics: Object.fromEntries(Object.entries(values).map(([name, value]) => [name, estimate(value)])),
      tokens: null,
    }),
  )
  const about = {
    name: 'both',
    task: 'code',
    kind: 'code',
    maxReward: 1,
    items: 10,
    heldOut: true,
    samples: 4,
    seeds: [0, 1],
    timedItems: 0,
    shownMetrics: [],
    methods: [],
  } as const
  return { about: { ...about, seeds: [...about.seeds], shownMetrics: [], methods: [] }, columns: [], methods }
}

test('schemes are counted over all seeds, for the methods that have any', (t) => {
  const [, schemes, ...others] = tablesOf(
    comparison([{ 'cooperation/fallback': 0.25, 'cooperation/no_program': 0.75 }, { 'cooperation/fallback': 1 }, {}]),
  )
  t.deepEqual(others, [])
  t.is(schemes!.title, 'Cooperation schemes, of 80 joint completions')
  t.deepEqual(schemes!.header, ['scheme', 'method 0', 'method 1'])
  t.deepEqual(
    schemes!.rows.find(([name]) => name === 'fallback'),
    ['fallback', '20', '80'],
  )
  t.deepEqual(
    schemes!.rows.find(([name]) => name === 'no_program'),
    ['no_program', '60', '–'],
  )
  t.is(tablesOf(comparison([{}])).length, 1)
})
