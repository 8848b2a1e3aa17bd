import test from 'ava'
import { columnMeter } from '../../lib/compare/columns.ts'
import { codeComponents } from '../../lib/tasks/code/columns.ts'
import { scoreOf } from '../../lib/tasks/code/reward.ts'
import { codeTask } from '../../lib/tasks/code/task.ts'
import { story } from '../../lib/tasks/story/task.ts'
import type { Task } from '../../lib/tasks/task/types.ts'
import { writingComponents } from '../../lib/tasks/writing/columns.ts'
import { scoreWriting, tldrThresholds } from '../../lib/tasks/writing/reward.ts'

/** Table 2 of the paper, in % of the maximum: structure, syntax, tests, cooperation, return. */
const publishedCode: [string, number, number, number, number, number][] = [
  ['naive concatenation, HE', 96.1, 90.6, 42.5, 22.7, 53.9],
  ['naive concatenation, CHE', 97.5, 95.0, 40.1, 24.0, 54.3],
  ['sequential pipeline, HE', 98.4, 96.5, 56.4, 35.1, 63.1],
  ['sequential pipeline, CHE', 97.5, 96.3, 55.2, 35.2, 62.5],
  ['one-round discussion, HE', 98.1, 94.8, 41.2, 30.2, 57.5],
  ['one-round discussion, CHE', 97.5, 96.3, 41.9, 34.8, 59.5],
  ['single-turn MAGRPO, HE', 100.0, 97.8, 61.6, 83.4, 83.7],
  ['single-turn MAGRPO, CHE', 98.8, 97.5, 71.2, 83.7, 86.0],
  ['multi-turn MAGRPO, HE', 99.7, 96.9, 68.4, 84.9, 86.7],
  ['multi-turn MAGRPO, CHE', 98.6, 98.2, 75.0, 86.3, 88.5],
]

/** Table 1: structure, consistency, coherence, return, and the return that ungated components would give. */
const publishedWriting: [string, number, number, number, number, number][] = [
  ['single, TLDR', 43.8, 97.6, 52.8, 36.7, 55.8],
  ['MAGRPO, TLDR', 98.7, 97.1, 78.5, 94.5, 95.7],
  ['MAGRPO, arXiv', 97.9, 96.2, 69.7, 93.1, 93.8],
]

// The published components times the points that the columns here divide by have to give the published return.
test('code columns are of the points whose sum is the return', (t) => {
  const full = codeComponents(
    {
      structure_aux: 0.4,
      structure_main: 0.6,
      syntax: 0.5,
      tests: 1,
      bonus_aux: 0.5,
      bonus_non_wrapper: 1,
      penalty_ignored: 0,
    },
    true,
  )
  t.deepEqual(full, { structure: 1, syntax: 1, tests: 1, cooperation: 1 })
  const points = pointsOf(full as Record<string, number>, (name) => {
    const zero = {
      structure_aux: 0,
      structure_main: 0,
      syntax: 0,
      tests: 0,
      bonus_aux: 0,
      bonus_non_wrapper: 0,
      penalty_ignored: 0,
    }
    const one = { ...zero, ...unit[name] }
    return codeComponents(one, true)[name]!
  })
  t.deepEqual(points, { structure: 1, syntax: 0.5, tests: 1, cooperation: 1.5 })
  for (const [name, structure, syntax, tests, cooperation, reported] of publishedCode) {
    const sum =
      points.structure! * structure +
      points.syntax! * syntax +
      points.tests! * tests +
      points.cooperation! * cooperation
    t.true(Math.abs(sum / 4 - reported) < 1.1, `${name}: ${sum / 4} for ${reported}`)
  }
})

/** A tenth of a point in each column. */
const unit: Record<string, Record<string, number>> = {
  structure: { structure_main: 0.1 },
  syntax: { syntax: 0.1 },
  tests: { tests: 0.1 },
  cooperation: { bonus_aux: 0.1 },
}

/** Points that make a whole column, from what a tenth of a point is of it. */
function pointsOf(columns: Record<string, number>, shareOfTenth: (name: string) => number): Record<string, number> {
  return Object.fromEntries(
    Object.keys(columns).map((name) => [name, Math.round(1000 * (0.1 / shareOfTenth(name))) / 1000]),
  )
}

test('writing columns: the published components, ungated, give at least the published return', (t) => {
  for (const [name, structure, consistency, coherence, reported, ungated] of publishedWriting) {
    const sum = (2 * structure + 0.6 * consistency + 0.4 * coherence) / 3
    t.true(Math.abs(sum - ungated) < 0.06, `${name}: ${sum}`)
    t.true(sum >= reported)
  }
})

const words = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `word${from + i}`).join(' ')

test('writing components are those of the reward where every level is passed', (t) => {
  const pairs: [string, string][] = [
    [words(20), `${words(50)} however, therefore`],
    [words(30), `${words(40)} for example`],
  ]
  for (const [first, second] of pairs) {
    const { parts, total } = scoreWriting(first, second, tldrThresholds)
    const { structure, consistency, coherence } = writingComponents(first, second, tldrThresholds, 'strict')
    t.true(parts.coherence > 0)
    t.true(Math.abs(2 * structure + 0.6 * consistency + 0.4 * coherence - total) < 1e-12)
    t.true(Math.abs(0.6 * consistency - parts.consistency) < 1e-12)
  }
})

test('writing components are not gated: a failed level costs its own points alone', (t) => {
  const components = (first: string, second: string) => writingComponents(first, second, tldrThresholds, 'strict')
  // 5 words are too few and the lengths too equal; "however" is in two categories.
  const short = components(words(5), `${words(5)} however`)
  t.is(scoreWriting(words(5), `${words(5)} however`, tldrThresholds).total, 0)
  t.true(Math.abs(short.consistency - 1) < 1e-12 && Math.abs(short.coherence - 0.45) < 1e-12)
  const equal = components(words(20), words(20))
  t.deepEqual(equal, { structure: 0.25, consistency: 1, coherence: 0 })
  // Characters out of range, distinct words in it: 0.5 + 0 + 0.5 points of 2.
  const long = components(words(10), words(60))
  t.is(long.structure, 0.5)
  t.deepEqual(components('', ''), { structure: 0, consistency: 1, coherence: 0 })
})

test('a single model of a code task has no cooperation and no return, and its structure is of its own points', (t) => {
  const { parts } = scoreOf({
    facts: {
      structureAux: false,
      structureMain: true,
      syntax: true,
      asWritten: true,
      hasAux: false,
      usesAux: false,
      wrapper: false,
      ignoresAux: false,
      program: '',
      prelude: '',
    },
    tests: { passed: 3, total: 4, timeouts: 0, forgeable: 0, reason: 'assert', message: '', outcomes: [] },
  })
  t.deepEqual(codeComponents(parts, false), { structure: 1, syntax: 1, tests: 0.75, cooperation: null })
  t.is(codeComponents(parts, true).structure, 0.6)
})

test('the meter of a task is its own, else one of the parts of its reward', async (t) => {
  const writing = columnMeter(story({ train: 1, heldOut: 1 }) as unknown as Task)
  t.is(writing.kind, 'writing')
  const measured = await writing.measure({}, [words(20), words(50)], { reward: 2.5, parts: {} }, false)
  t.is(measured.columns.return, 2.5 / 3)
  t.is(measured.passed, null)
  const item = {
    prompt: 'def f(n):\n',
    test: 'def check(candidate):\n    assert candidate(1) == 1\n',
    entry_point: 'f',
  }
  const code = codeTask({ items: [item] }) as unknown as Task
  const meter = columnMeter(code)
  t.is(meter.kind, 'code')
  const parts = {
    structure_aux: 0.4,
    structure_main: 0.6,
    syntax: 0.5,
    tests: 0.5,
    bonus_aux: 0.5,
    bonus_non_wrapper: 0,
    penalty_ignored: 0,
    tests_passed: 1,
    tests_total: 2,
  }
  const team = await meter.measure(item, ['', ''], { reward: 2.5, parts }, false)
  t.deepEqual(team, {
    columns: { structure: 1, syntax: 1, tests: 0.5, cooperation: 1 / 3, return: 0.625 },
    passed: false,
  })
  const alone = await meter.measure(item, ['', ''], { reward: 2, parts: { ...parts, tests_passed: 2, tests: 1 } }, true)
  t.deepEqual([alone.columns.return, alone.columns.cooperation, alone.passed], [null, null, true])
  const own = columnMeter({ name: 'own', agents: ['a'], items: [{}], observe: () => '', reward: () => 0 })
  t.deepEqual([own.kind, own.columns], ['task', null])
  t.deepEqual((await own.measure({}, [''], { reward: 3, parts: { a: 2 } }, false)).columns, { a: 2, return: 3 })
})
