import { readFileSync } from 'node:fs'
import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import {
  type Cooperation,
  type CooperationExperiment,
  confirm,
  cooperationLabels,
  detectCooperation,
  detectCooperations,
} from '../../lib/tasks/code/cooperation.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { confusionTables, docs, docsWith } from './cooperation/confusion.ts'
import { handWrittenPrograms } from './cooperation/programs.ts'

const programs = handWrittenPrograms()
let sandbox: PythonSandbox
let found: Cooperation[]

test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 2 })
  found = await detectCooperations(programs, { sandbox, dynamic: true })
})

test.after.always(() => sandbox?.dispose())

const item: CodeItem = {
  prompt: '',
  test: 'def check(candidate):\n    assert candidate([1, 2]) == 5\n    assert candidate([]) == 0\n    assert candidate([3]) == 9\n    assert candidate([2, 2, 2]) == 12\n',
  entry_point: 'solve',
}
const square = 'def aux(x):\n    return x * x\n'
const squares = 'def aux(xs):\n    return sum(x * x for x in xs)\n'

async function labelsOf(main: string, aux = square): Promise<string> {
  return (await detectCooperation(item, [aux, main], { sandbox })).labels.join()
}

test('there are at least six hand-written programs a label', (t) => {
  for (const label of cooperationLabels)
    t.true(programs.filter((program) => program.label === label).length >= 6, label)
})

for (const [index, { name, label, labels, unconfirmed }] of programs.entries()) {
  test(`${label}: ${name}`, (t) => {
    const { primary, labels: seen, dynamic } = found[index]!
    t.is(primary, label)
    t.deepEqual(seen, labels)
    if (dynamic === undefined) return t.is(label, 'no_call')
    t.is(dynamic.p0, 1)
    const expected = Object.fromEntries(labels.map((each) => [each, unconfirmed[each] === undefined]))
    t.deepEqual(dynamic.confirmed, expected, JSON.stringify(dynamic))
  })
}

test('the tables in the docs are up to date', async (t) => {
  const text = readFileSync(docs, 'utf8')
  const remedy = 'run npx tsx test/tasks/cooperation/write-tables.ts'
  t.is(docsWith(await confusionTables(sandbox, found), text), text, remedy)
})

test('pass rates with other helpers, calls and usefulness', async (t) => {
  const main = 'def solve(xs):\n    return sum(aux(x) for x in xs)\n'
  const { primary, features, dynamic } = await detectCooperation(item, [square, main], { sandbox, dynamic: true })
  t.is(primary, 'coordinator')
  t.like(features, {
    calls: 1,
    inLoop: true,
    derivedArgs: true,
    aggregate: true,
    returnShare: 1,
    argPassthrough: false,
  })
  t.deepEqual(dynamic, {
    p0: 1,
    pNone: 0.25, // only the empty list needs no helper
    pRaise: 0.25,
    pId: 0.25,
    pTrue: 0.25,
    pFalse: 0.25,
    pSentinel: null,
    ways: 1,
    callsPerTest: 6 / 4,
    maxCalls: 3,
    usefulness: 0.75,
    confirmed: { coordinator: true },
  })
})

test('a helper of one own recursion counts as one call', async (t) => {
  const aux = 'def aux(xs):\n    return xs[0] ** 2 + aux(xs[1:]) if xs else 0\n'
  const main = 'def solve(xs):\n    return aux(list(xs)) + 0\n'
  const { dynamic } = await detectCooperation(item, [aux, main], { sandbox, dynamic: true })
  t.like(dynamic, { p0: 1, callsPerTest: 1, maxCalls: 1 })
})

test('other helpers also stand behind names that were bound while the program loaded', async (t) => {
  const mains = [
    'square = aux\n\ndef solve(xs):\n    return sum([square(x) for x in xs])\n',
    'def solve(xs, square=aux):\n    return sum([square(x) for x in xs])\n',
    'from functools import partial\n\nsquare = partial(aux)\n\ndef solve(xs):\n    return sum([square(x) for x in xs])\n',
    'TABLE = [aux(n) for n in range(10)]\n\ndef solve(xs):\n    return sum([TABLE[x] for x in xs])\n',
  ]
  for (const main of mains) {
    const { dynamic } = await detectCooperation(item, [square, main], { sandbox, dynamic: true })
    t.is(dynamic?.p0, 1, main)
    t.true(dynamic!.pNone <= 0.25 && dynamic!.pRaise <= 0.25, JSON.stringify(dynamic))
  }
})

test('a helper that never ends when it is switched off does not hold the experiment', async (t) => {
  const aux = 'def aux(state):\n    return state[1:]\n'
  const main =
    'def solve(xs):\n    rest, total = xs, 0\n    while rest != []:\n        total += rest[0] ** 2 if rest else 0\n        rest = aux(rest)\n    return total\n'
  const { dynamic } = await detectCooperation(item, [aux, main], {
    sandbox,
    dynamic: true,
    limits: { cpuSeconds: 0.2, maxTimeouts: 1 },
  })
  t.is(dynamic?.p0, 1)
  t.true(dynamic!.pId < 1)
})

test('what the program says of its calls is not believed blindly', async (t) => {
  const main =
    'def __magrpo_counts__():\n    return ["many", -1, {}, 0]\n\ndef solve(xs):\n    return sum(aux(x) for x in xs)\n'
  const { dynamic } = await detectCooperation(item, [square, main], { sandbox, dynamic: true })
  t.is(dynamic?.callsPerTest, null)
  t.is(dynamic?.p0, 1)
})

test('prose, fences and missing functions', async (t) => {
  const main = 'def solve(xs):\n    return sum(aux(x) for x in xs)\n'
  t.is(await labelsOf(`Here it is:\n\`\`\`python\n${main}\`\`\`\n`), 'coordinator')
  t.is(await labelsOf(main, `Sure! \n\n${square}\nIt squares.`), 'no_call')
  t.is(await labelsOf(main, 'def aux(x)\n    return x\n'), 'no_call')
  for (const text of ['', 'no code', 'def other(xs):\n    return 1\n', 'def solve(xs:\n    return aux(xs\n']) {
    const { primary, labels, features } = await detectCooperation(item, [square, text], { sandbox })
    t.deepEqual([primary, labels, features], [null, [], null], text)
  }
})

test('texts made to break the reader are read as other, and not run', async (t) => {
  const deep = `def solve(xs):\n    return ${'-'.repeat(3000)}aux(xs)\n`
  const loops = Array.from({ length: 17 }, (_, depth) => `${'    '.repeat(depth + 1)}for v${depth} in xs:`)
  const wide = `def solve(xs):\n${loops.join('\n')}\n${'    '.repeat(18)}xs.append(aux(v0))\n    return xs\n`
  const bomb = 'import os\nos._exit(1)\n\ndef solve(xs):\n    return aux(xs) + 1\n'
  const mains = [deep, wide, bomb, 'def solve(xs):\n    return aux(xs)\n']
  const readings = await detectCooperations(
    mains.map((main) => ({ item, texts: [squares, main] })),
    { sandbox },
  )
  t.true([null, 'other'].includes(readings[0]!.primary))
  t.is(readings[1]!.primary, 'other')
  t.is(readings[2]!.primary, 'decorator')
  t.is(readings[3]!.primary, 'wrapper')
})

test('a program that tries itself out is read as if it did not', async (t) => {
  const cases: [labels: string, main: string, aux?: string][] = [
    ['wrapper', 'def solve(xs):\n    return aux(xs)\nfor xs in ([1], [2, 3]):\n    print(solve(xs))\n', squares],
    ['wrapper', 'def solve(xs):\n    return aux(xs)\nfound = solve([1])\n', squares],
    ['coordinator', 'def solve(xs):\n    return sum(aux(x) for x in xs)\nassert solve([2]) == 4\n'],
  ]
  for (const [labels, main, aux] of cases) t.is(await labelsOf(main, aux), labels, main)
})

test('recursion through other functions, closures that are returned, methods, star arguments', async (t) => {
  const cases: [labels: string, main: string, aux?: string][] = [
    [
      'coordinator',
      'def even(xs):\n    return aux(xs[0]) + odd(xs[1:]) if xs else 0\n\ndef odd(xs):\n    return aux(xs[0]) + even(xs[1:]) if xs else 0\n\ndef solve(xs):\n    return even(xs)\n',
    ],
    ['coordinator', 'def solve(xs):\n    def later(ys):\n        return [aux(y) for y in ys]\n    return later\n'],
    [
      'coordinator',
      'class S:\n    def one(self, x):\n        return aux(x)\n    def all(self, xs):\n        return sum(self.one(x) for x in xs)\n\ndef solve(xs):\n    return S().all(xs)\n',
    ],
    ['coordinator', 'def solve(xs):\n    out = [0]\n    for x in xs:\n        out += [aux(x)]\n    return sum(out)\n'],
    ['coordinator', 'def solve(xs):\n    for i, x in enumerate(xs):\n        xs[i] = aux(x)\n'],
    ['coordinator', 'async def solve(xs):\n    return [await aux(x) for x in xs]\n'],
    ['decorator', 'def solve(xs):\n    a, *rest = aux(xs), 1\n    return a + len(rest)\n', squares],
    ['decorator', 'def solve(xs):\n    return aux(aux(xs))\n', squares],
    ['wrapper', 'solve = lambda xs: aux(xs)\n', squares],
    ['ignored', 'def solve(xs):\n    for x in xs:\n        aux(x)\n    del x\n    return len(xs)\n'],
    ['no_call', 'def solve(xs):\n    global aux\n    aux = len\n    return [x for x in xs]\n'],
    [
      'strategy_filter',
      'import itertools\n\ndef solve(xs):\n    return list(itertools.takewhile(lambda x: not aux(x), xs))\n',
    ],
    [
      'fallback',
      'def solve(xs):\n    result = None\n    if xs:\n        result = aux(xs)\n    if result in (None, -1):\n        result = sum(x * x for x in xs)\n    return result\n',
      squares,
    ],
  ]
  for (const [labels, main, aux] of cases) t.is((await labelsOf(main, aux)).split(',')[0], labels, main)
})

test('what confirms a label', (t) => {
  const base = {
    p0: 0.8,
    pNone: 0,
    pRaise: 0,
    pId: 0,
    pTrue: 0,
    pFalse: 0,
    pSentinel: null,
    ways: 0,
    callsPerTest: 1,
    maxCalls: 1,
    usefulness: 0.8,
  }
  const ask = (change: Partial<CooperationExperiment>) => confirm([...cooperationLabels], { ...base, ...change })
  t.like(ask({}), { decorator: true, wrapper: true, coordinator: false, strategy_filter: false, ignored: false })
  t.like(ask({ maxCalls: 3 }), { decorator: false, coordinator: true })
  t.true(confirm(['fallback'], { ...base, pRaise: 0.75 }).fallback)
  t.false(confirm(['fallback'], { ...base, pRaise: 0.7 }).fallback)
  t.true(confirm(['fallback'], { ...base, pSentinel: 0.8 }).fallback)
  t.true(ask({ ways: 2 }).strategy_filter)
  t.true(confirm(['decorator'], { ...base, pNone: 0.4 }).decorator)
  t.false(confirm(['decorator'], { ...base, pNone: 0.41 }).decorator)
  const same = { pNone: 0.8, pRaise: 0.8, pId: 0.8, pTrue: 0.8, pFalse: 0.8 }
  t.like(ask({ ...same, callsPerTest: 0 }), { no_call: true, ignored: true, fallback: false })
  t.deepEqual(confirm(['ignored', 'other'], { ...base, ...same, p0: 0 }), { ignored: false, other: false })
})

test('a text too few and an item that is none are named', async (t) => {
  await t.throwsAsync(detectCooperation(item, ['x = 1'], { sandbox }), {
    code: 'ERR_ARGUMENT',
    message: /helper's text/,
  })
  const broken = { ...item, entry_point: '' }
  await t.throwsAsync(detectCooperation(broken, ['', ''], { sandbox }), { code: 'ERR_DATA', message: /entry_point/ })
  const bad = { ...item, test: 'def (' }
  const main = 'def solve(xs):\n    return aux(xs)\n'
  await t.throwsAsync(detectCooperation(bad, [squares, main], { sandbox, dynamic: true }), { code: 'ERR_DATA' })
})

test('an abort ends an experiment with its reason', async (t) => {
  const reason = new Error('enough')
  const main = 'def solve(xs):\n    return aux(xs)\n'
  const signal = AbortSignal.abort(reason)
  const error = await t.throwsAsync(detectCooperation(item, [squares, main], { sandbox, dynamic: true, signal }))
  t.is(error, reason)
})
