import { createHash } from 'node:crypto'
import test from 'ava'
import {
  auxConvention,
  conventionEntropy,
  conventionMetrics,
  mainConvention,
} from '../../lib/tasks/mini-code/convention.ts'
import {
  describe,
  evaluate,
  floorDivide,
  folds,
  modulo,
  predicates,
  transformations,
} from '../../lib/tasks/mini-code/grammar.ts'
import { type MiniCodeItem, miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { auxSolution, conventions, mainSolution } from '../../lib/tasks/mini-code/solutions.ts'

const { train, validation, heldOut } = miniCodeProblems()
const all = [...train, ...validation, ...heldOut]
const squaresOfEven = problemOf({ predicate: 'mod-2-0', transformation: 'square', fold: 'sum' })
const pairOf = (item: MiniCodeItem) => `${item.predicate} ${item.transformation}`

test('modulo and floorDivide follow Python for negative numbers', (t) => {
  t.deepEqual(
    [-7, -6, -1, 0, 1, 7].map((x) => modulo(x, 3)),
    [2, 0, 2, 0, 1, 1],
  )
  t.deepEqual(
    [-7, -6, -1, 0, 1, 7].map((x) => floorDivide(x, 3)),
    [-3, -2, -1, 0, 0, 2],
  )
})

test('no transformation makes a negative zero', (t) => {
  for (const { id, apply } of transformations)
    for (let x = -12; x <= 15; x++) t.false(Object.is(apply(x), -0), `${id} of ${x}`)
})

test('evaluate computes the sum of the squares of the even numbers, and undefined where Python raises', (t) => {
  t.is(describe(squaresOfEven), 'the sum of the squares of the even numbers')
  t.is(evaluate(squaresOfEven, [1, 2, 3, -4]), 20)
  const largest = { ...squaresOfEven, fold: folds.find(({ id }) => id === 'max')! }
  t.is(evaluate(largest, [1, 3]), undefined)
})

test('entries of the grammar differ from each other on the integers that lists hold', (t) => {
  const range = Array.from({ length: 28 }, (_, i) => i - 12)
  t.is(new Set(predicates.map((p) => range.map(p.test).join())).size, predicates.length)
  t.is(new Set(transformations.map((f) => range.map(f.apply).join())).size, transformations.length)
  for (const entries of [predicates, transformations, folds])
    for (const key of ['id', 'text'] as const)
      t.is(new Set(entries.map((entry) => entry[key])).size, entries.length, `${key} occurs twice`)
})

test('there are at least 8,000 distinct problems, at least 400 of them held out and 400 for validation', (t) => {
  t.true(train.length >= 8000, String(train.length))
  t.true(validation.length >= 400, String(validation.length))
  t.true(heldOut.length >= 400, String(heldOut.length))
  t.is(new Set(all.map((item) => item.prompt)).size, all.length)
  t.is(new Set(all.map((item) => item.task_id)).size, all.length)
})

test('no pair of predicate and transformation is in two parts, and every entry is trained', (t) => {
  const parts = [train, validation, heldOut].map((items) => new Set(items.map(pairOf)))
  const pairs = parts.reduce((sum, part) => sum + part.size, 0)
  t.is(new Set(parts.flatMap((part) => [...part])).size, pairs)
  t.deepEqual(
    new Set(train.flatMap((item) => [item.predicate, item.transformation, item.fold])),
    new Set(all.flatMap((item) => [item.predicate, item.transformation, item.fold])),
  )
})

test('problems are the same everywhere', (t) => {
  const digest = createHash('sha256')
    .update(JSON.stringify([train, validation, heldOut]))
    .digest('hex')
  t.is(digest.slice(0, 16), '609d80c2f8ab5031', 'a change of the problems needs new weights in models/mini-code')
})

test('asserts have 4 to 8 lists and at least 3 different answers', (t) => {
  for (const item of all) {
    const answers = [...item.test.matchAll(/== (.+)/g)].map(([, answer]) => answer)
    if (answers.length < 4 || answers.length > 8 || new Set(answers).size < 3) t.fail(item.task_id)
  }
  t.pass()
})

test('for each one-entry change of a problem some assert fails', (t) => {
  for (const item of all.filter((_, index) => index % 97 === 0)) {
    const problem = problemOf(item)
    const asserts = [...item.test.matchAll(/candidate\((.+?)\) == (.+)/g)].map(([, list, answer]) => ({
      list: JSON.parse(list!) as number[],
      answer: JSON.parse(answer!) as unknown,
    }))
    const passes = (change: Partial<typeof problem>) =>
      asserts.every(
        ({ list, answer }) => JSON.stringify(evaluate({ ...problem, ...change }, list)) === JSON.stringify(answer),
      )
    t.true(passes({}))
    for (const predicate of predicates) t.is(passes({ predicate }), predicate === problem.predicate)
    for (const transformation of transformations)
      t.is(passes({ transformation }), transformation === problem.transformation)
    for (const fold of folds) t.is(passes({ fold }), fold === problem.fold)
  }
})

test('problemOf names the entries that exist when one does not', (t) => {
  t.throws(() => problemOf({ predicate: 'mod-2-0', transformation: 'square', fold: 'median' }), {
    instanceOf: RangeError,
    message: /^Expected one of sum, max, .* but received median\.$/,
  })
})

test('the four conventions of one problem', (t) => {
  const write = conventions.map((name) => [auxSolution(squaresOfEven, name), mainSolution(squaresOfEven, name)])
  t.deepEqual(write, [
    [
      '# aux tests\ndef aux(x):\n    return x % 2 == 0',
      '# aux tests\ndef solve(xs):\n    return sum([x * x for x in xs if aux(x)])',
    ],
    [
      '# aux maps\ndef aux(x):\n    return x * x',
      '# aux maps\ndef solve(xs):\n    return sum([aux(x) for x in xs if x % 2 == 0])',
    ],
    [
      '# aux lists\ndef aux(xs):\n    return [x * x for x in xs if x % 2 == 0]',
      '# aux lists\ndef solve(xs):\n    return sum(aux(xs))',
    ],
    [
      '# aux folds\ndef aux(xs):\n    return sum(xs)',
      '# aux folds\ndef solve(xs):\n    return aux([x * x for x in xs if x % 2 == 0])',
    ],
  ])
})

test('the convention of every solution is recognised', (t) => {
  for (const item of all)
    for (const name of conventions) {
      const problem = problemOf(item)
      if (auxConvention(auxSolution(problem, name)) !== name) t.fail(`aux of ${item.task_id}, ${name}`)
      if (mainConvention(mainSolution(problem, name)) !== name) t.fail(`main of ${item.task_id}, ${name}`)
    }
  t.is(auxConvention('# aux tests\ndef aux(x):\n    return x * 3'), 'transformation', 'the comment must not count')
  t.is(auxConvention('def aux(x)'), 'other')
  t.is(mainConvention('def solve(xs):\n    return sum(xs)'), 'other')
})

test('means of the convention metrics give shares, agreement and entropy', (t) => {
  const pairs = conventions.flatMap((a) =>
    conventions.map((m) => [auxSolution(squaresOfEven, a), mainSolution(squaresOfEven, m)]),
  )
  const seen = pairs.map(([aux, main]) => conventionMetrics(aux!, main!))
  const means = Object.fromEntries(
    Object.keys(seen[0]!).map((name) => [
      `task/${name}`,
      seen.reduce((sum, each) => sum + each[name]!, 0) / seen.length,
    ]),
  )
  t.is(means['task/convention/agree'], 0.25)
  t.is(means['task/convention/aux_fold'], 0.25)
  t.is(conventionEntropy(means, 'main', 'task/'), 2)
  t.is(conventionEntropy(conventionMetrics('?', '?'), 'aux'), 0)
  t.is(conventionMetrics('?', '?')['convention/agree'], 0)
})
