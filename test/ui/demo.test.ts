import test from 'ava'
import type { SampleRow } from '../../lib/rl/types/reports.ts'
import {
  type ConventionShares,
  conventionLine,
  conventionShares,
  conventionTable,
} from '../../lib/ui/convention-table.ts'
import { contrastingSamples, demoSample } from '../../lib/ui/demo-samples.ts'
import { paintAlways, paintNever } from '../../lib/ui/style.ts'
import { displayWidth } from '../../lib/ui/width.ts'

const clash: ConventionShares = { pass: 0.25, agree: 0.25, aux: [0.25, 0.25, 0.26, 0.24], main: [0.3, 0.2, 0.25, 0.25] }
const agreed: ConventionShares = { pass: 0.97, agree: 0.98, aux: [0, 0.01, 0.99, 0], main: [0.01, 0, 0.99, 0] }

test('curves are on one scale and end with the last share', (t) => {
  t.deepEqual(
    conventionTable([clash, agreed], 60, paintNever).map((line) => line.trimEnd()),
    [
      '                  aux is written as     main takes aux for',
      'predicate         0 %  ▃▁                1 %  ▃▁',
      'transformation    1 %  ▃▁                0 %  ▂▁',
      'list             99 %  ▃█               99 %  ▃█',
      'fold              0 %  ▃▁                0 %  ▃▁',
      'agree            98 %  ▃█',
      'pass             97 %  ▃█',
    ],
  )
  for (const line of conventionTable(Array<ConventionShares>(500).fill(clash), 50, paintAlways))
    t.true(displayWidth(line) <= 50, line)
})

test('shares are read out of the metrics of steps and evaluations', (t) => {
  const metrics = { 'eval/reward/pass': 0.5, 'eval/task/convention/agree': 0.6, 'eval/task/convention/aux_list': 0.7 }
  t.deepEqual(conventionShares(metrics, 'eval/'), { pass: 0.5, agree: 0.6, aux: [0, 0, 0.7, 0], main: [0, 0, 0, 0] })
  t.is(conventionShares(metrics).pass, 0)
  t.is(conventionLine(agreed), 'pass 97 %, agree 98 %; aux: list 99 %; main: list 99 %')
})

function row(item: number, pass: number, aux: string, main: string): SampleRow {
  const prompt = 'def solve(xs):\n    """Return the sum of the squares of the even numbers."""\n# aux\n'
  const agent = (name: string, completion: string) => ({
    name,
    prompt,
    completion,
    tokens: 9,
    finish: 'stop' as const,
    logProbSum: -1,
    sample: 0,
    advantage: null,
  })
  const about = { step: 0, phase: 'eval' as const, slot: 0, turn: 0, node: 0, joint: 0, metrics: {} }
  return {
    ...about,
    item,
    reward: pass,
    return: pass,
    parts: { pass },
    agents: [agent('aux', aux), agent('main', main)],
  }
}

const predicate = 'def aux(x):\n    return x % 2 == 0'
const takesPredicate = 'def solve(xs):\n    return sum([x * x for x in xs if aux(x)])'
const takesFold = 'def solve(xs):\n    return aux([x * x for x in xs if x % 2 == 0])'

test('a sample shows the problem, both functions, what each agent meant, and the verdict', (t) => {
  t.deepEqual(demoSample(row(0, 0, predicate, takesFold), 80, paintNever), [
    '# Return the sum of the squares of the even numbers.',
    '  def aux(x):',
    '      return x % 2 == 0',
    '  def solve(xs):',
    '      return aux([x * x for x in xs if x % 2 == 0])',
    '  ✘ fails: aux is the predicate, main takes it for the fold',
  ])
  t.is(
    demoSample(row(0, 1, predicate, takesPredicate), 80, paintNever).at(-1),
    '  ✔ passes: aux is the predicate, main takes it for the predicate',
  )
})

test('the samples shown are a failing and a passing program for one problem, where there are both', (t) => {
  const rows = [row(0, 0, '', ''), row(0, 0, '', ''), row(1, 1, '', ''), row(1, 0, '', '')]
  t.deepEqual(
    contrastingSamples(rows).map(({ item, parts }) => [item, parts.pass]),
    [
      [1, 0],
      [1, 1],
    ],
  )
  t.deepEqual(contrastingSamples(rows.slice(0, 2)).length, 2)
})
