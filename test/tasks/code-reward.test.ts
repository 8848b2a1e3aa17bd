import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { type CodeReward, createCodeReward } from '../../lib/tasks/code/reward.ts'
import type { Rules } from '../../lib/tasks/task/options.ts'

let sandbox: PythonSandbox
let rewards: Record<Rules, CodeReward>

test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 2 })
  const limits = { cpuSeconds: 0.3 }
  rewards = {
    strict: createCodeReward({ rules: 'strict', sandbox, limits }),
    paper: createCodeReward({ rules: 'paper', sandbox, limits }),
  }
})

test.after.always(() => sandbox?.dispose())

const item: CodeItem = {
  task_id: 'sum-of-squares',
  prompt:
    'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """ Sum of the squares.\n    >>> total([1, 2])\n    5\n    """\n',
  test: 'METADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == 5\n    assert candidate([]) == 0\n    assert candidate([3]) == 9\n    assert candidate([1, 1]) == 2\n',
  entry_point: 'total',
}

const aux = 'def aux(x):\n    return x * x\n'
const useful = 'def total(xs):\n    result = 0\n    for x in xs:\n        result += aux(x)\n    return result\n'
const alone = 'def total(xs):\n    result = sum(x * x for x in xs)\n    return result\n'
const sumAux = 'def aux(xs):\n    return sum(x * x for x in xs)\n'
const wrapper = 'def total(xs):\n    return aux(xs)\n'

const ladder: [name: string, texts: string[], total: number][] = [
  ['nothing', ['', ''], 0],
  ['prose', ['I cannot help with that.', 'Sorry.'], 0],
  ['aux only', [aux, 'x = 1'], 0.4],
  ['main only, which does not parse', ['', 'def total(xs):\n    return sum(xs\n'], 0.6],
  ['both, main does not parse', [aux, 'def total(xs):\n    return sum(xs\n'], 1.0],
  ['both, aux does not parse', ['def aux(x):\n    return x *\n', alone], 1.0],
  ['parses, no test passes', [aux, 'def total(xs):\n    return -1\n'], 1.5],
  ['parses, no aux, no test passes', ['', 'def total(xs):\n    return -1\n'], 1.1],
  ['half of the tests, aux not used', [aux, 'def total(xs):\n    y = sum(xs)\n    return y\n'], 2.0],
  ['all tests, aux not used', [aux, alone], 2.5],
  ['all tests, no aux', ['', alone], 2.1],
  ['a wrapper', [sumAux, wrapper], 3.0],
  ['a wrapper in two lines', [sumAux, 'def total(xs):\n    v = aux(xs)\n    return v\n'], 3.0],
  [
    'a wrapper with docstring and comment',
    [sumAux, 'def total(xs):\n    """Adds."""\n    # simple\n    return aux(xs)\n'],
    3.0,
  ],
  ['the whole', [aux, useful], 4.0],
  ['more than a wrapper', [sumAux, 'def total(xs):\n    v = aux(xs)\n    return v + 0\n'], 4.0],
  ['in fences', [`Here is the helper:\n\`\`\`python\n${aux}\`\`\`\n`, `\`\`\`python\n${useful}\`\`\``], 4.0],
  ['one agent', [alone], 2.1],
  ['one agent, nothing', ['no'], 0],
  ['one agent, no test passes', ['def total(xs):\n    return 7\n'], 1.1],
]

for (const rules of ['strict', 'paper'] as const)
  for (const [name, texts, expected] of ladder)
    test(`${rules}: ${name} scores ${expected}`, async (t) => {
      const { total, parts } = await rewards[rules].score(item, texts)
      t.true(Math.abs(total - expected) < 1e-9, `${total}: ${JSON.stringify(parts)}`)
      const sum = [
        'structure_aux',
        'structure_main',
        'syntax',
        'tests',
        'bonus_aux',
        'bonus_non_wrapper',
        'penalty_ignored',
      ]
        .map((part) => parts[part] as number)
        .reduce((a, b) => a + b, 0)
      t.is(total, sum)
      t.is(parts.forgeable, 0)
    })

for (const rules of ['strict', 'paper'] as const)
  test(`${rules}: three timeouts skip the rest, the bonuses stay possible`, async (t) => {
    const main =
      'def total(xs):\n    n = len(xs)\n    while n == 2:\n        n = 2\n    k = aux(n)\n    return 0 if n == 0 else 9\n'
    const test =
      'def check(candidate):\n    assert candidate([]) == 0\n    assert candidate([1, 2]) == 5\n    assert candidate([1, 3]) == 5\n    assert candidate([1, 4]) == 5\n    assert candidate([3]) == 9\n    assert candidate([4]) == 9\n'
    const { total, parts } = await rewards[rules].score({ ...item, test }, [aux, main])
    t.is(parts.timeouts, 3)
    t.is(parts.tests_passed, 1)
    t.is(parts.tests_total, 6)
    const penalty = rules === 'strict' ? -0.5 : 0 // k is never read
    t.true(Math.abs(total - (1.5 + 1 / 6 + 1.5 + penalty)) < 1e-9, `${total}`)
  })

test('strict: asserts that no program can fail pay nothing; paper has only those that mention the candidate', async (t) => {
  const test =
    'def check(candidate):\n    assert True, "prints if it fails"\n    assert candidate([1, 2]) == 5\n    assert 1 == 1\n    assert candidate([]) == 0\n    assert True\n'
  const wrong = 'def total(xs):\n    x = aux(xs)\n    y = [x]\n    return y[0]\n'
  const anything = 'def aux(*a):\n    return object()\n'
  const scores = await Promise.all(
    (['strict', 'paper'] as const).map((rules) => rewards[rules].score({ ...item, test }, [anything, wrong])),
  )
  for (const { total, parts } of scores) t.deepEqual([total, parts.tests_passed, parts.tests_total], [1.5, 0, 2])
  t.is((await rewards.strict.score({ ...item, test }, [aux, useful])).total, 4)
  const none = await rewards.strict.score({ ...item, test: 'def check(candidate):\n    assert True\n' }, [aux, useful])
  t.deepEqual([none.total, none.parts.tests_total, none.reason], [1.5, 0, 'no tests'])
})

test('tests that only one process can run do not pay by default, and under paper rules do', async (t) => {
  const test =
    'def check(candidate):\n    assert candidate(filter(lambda x: x, [1, 2])) == 5\n    assert candidate([]) == 0\n'
  const score = async (rules: Rules, forgeableTests?: 'fail' | 'count') => {
    const reward = createCodeReward({ rules, sandbox, forgeableTests })
    const { total, parts } = await reward.score({ ...item, test }, [aux, useful])
    return [total, parts.forgeable]
  }
  t.deepEqual(await score('strict'), [3.5, 1])
  t.deepEqual(await score('strict', 'count'), [4, 1])
  t.deepEqual(await score('paper'), [4, 1])
  t.deepEqual(await score('paper', 'fail'), [3.5, 1])
})

test('test code of a data file decides about its own problem alone', async (t) => {
  await using own = await PythonSandbox.start({ workers: 1, limits: { cpuSeconds: 1, programCpuSeconds: 3 } })
  const reward = createCodeReward({ rules: 'strict', sandbox: own })
  const wrong = (n: number) => `def total(xs):\n    y = aux(1)\n    return y + ${n}\n`
  const tests = 'def check(candidate):\n    assert candidate([]) == 0\n'
  const hostile: [string, (score: { total: number; reason?: string }) => boolean][] = [
    [
      'import sys\n    for m in list(sys.modules.values()):\n        for n in ("summary", "run_tests", "checked", "score"):\n            if hasattr(m, n): setattr(m, n, lambda *a: {"tests": {"passed": 1, "total": 1, "outcomes": []}})',
      () => true,
    ],
    ['import os\n    n = 0\n    while True:\n        os.fork()\n        n += 1', ({ total }) => total === 1.5],
    ['import os, signal\n    for p in range(1, 100): os.kill(p, signal.SIGKILL)', ({ total }) => total === 1.5],
    ['import os\n    os.kill(-1, 9)', ({ total }) => total === 1.5],
    ['import os\n    os._exit(0)', ({ total }) => total === 1.5],
    ['import os\n    os.closerange(0, 4096)', ({ total }) => total === 1.5],
    ['a = []\n    while True: a.append("x" * 10**6)', ({ total }) => total === 1.5],
    ['while True: pass', ({ total, reason }) => total === 1.5 && /timeout/.test(reason!)],
    ['print("x" * 10**8, flush=True)', ({ total }) => total === 1.5],
    [
      'import os, json\n    body = json.dumps(["done", {"tests": {"outcomes": [{"number": {}}]}}]).encode()\n    for d in range(3, 64):\n        try: os.write(d, len(body).to_bytes(4, "big") + body)\n        except OSError: pass',
      ({ total }) => total === 1.5,
    ],
    [
      'import os\n    for d in range(3, 64):\n        try: os.write(d, b"\\xff" * 100)\n        except OSError: pass',
      ({ total }) => total === 1.5,
    ],
  ]
  const limit = (score: { total: number }) => score.total <= 4
  for (const [n, [code, isFair]] of hostile.entries()) {
    const evil = await reward.score(
      { ...item, test: `def check(candidate):\n    ${code}\n    assert candidate([]) == 0\n` },
      [aux, wrong(n)],
    )
    t.true(isFair(evil) && limit(evil), `${code}: ${JSON.stringify(evil)}`)
    t.is((await reward.score({ ...item, test: tests }, [aux, wrong(100 + n)])).total, 1.5, code)
    t.is((await reward.score({ ...item, test: `${tests}    assert ${n + 1}\n` }, [aux, useful])).total, 4, code)
  }
})

test('strict: the value of aux must be used; paper: the pattern wants a blank and one character', async (t) => {
  const lost: [string, number, number][] = [
    ['    aux(1)\n', -0.5, 0],
    ['    aux (1)\n', -0.5, -0.5],
    ['    k = aux(1)\n', -0.5, 0],
    ['    k = aux(1)\n    k = 2\n    n = k\n', -0.5, 0],
    ['    k = aux(1)\n    n = k\n', 0, 0],
    ['    k = aux(1)\n    if k:\n        k = 3\n', 0, 0],
    ['    k, j = aux((1, 2)[0]), 1\n', 0, 0],
  ]
  for (const [line, strict, paper] of lost) {
    const main = `def total(xs):\n${line}    result = 0\n    for x in xs:\n        result += x * x\n    return result\n`
    t.is((await rewards.strict.score(item, [aux, main])).parts.penalty_ignored, strict, line)
    t.is((await rewards.paper.score(item, [aux, main])).parts.penalty_ignored, paper, line)
  }
})

test('strict reads syntax, paper reads text: a comment about aux', async (t) => {
  const main = 'def total(xs):\n    # aux(x) would do it\n    result = sum(x * x for x in xs)\n    return result\n'
  t.is((await rewards.strict.score(item, [aux, main])).parts.bonus_aux, 0)
  t.is((await rewards.paper.score(item, [aux, main])).parts.bonus_aux, 0.5)
})

test('strict: what counts as using aux', async (t) => {
  const bodies: [string, number][] = [
    ['    return sum(map(aux, xs)) + 0', 0.5],
    ['    def aux(x):\n        return x * x\n    return sum(aux(x) for x in xs)', 0],
    ['    aux = lambda x: x * x\n    return sum(aux(x) for x in xs)', 0],
    ['    s = "aux(1)"\n    return sum(x * x for x in xs)', 0],
    ['    def inner(x):\n        return aux(x)\n    return sum(inner(x) for x in xs)', 0.5],
  ]
  for (const [body, bonus] of bodies) {
    const { parts } = await rewards.strict.score(item, [aux, `def total(xs):\n${body}\n`])
    t.is(parts.tests, 1, body)
    t.is(parts.bonus_aux, bonus, body)
  }
})

test("strict: agent 2's own aux does not replace agent 1's, and cannot stand in for it", async (t) => {
  const own = `def aux(x):\n    return x * x\n\n${useful}`
  const other = await rewards.strict.score(item, ['def aux(x):\n    return 0\n', own])
  t.is(other.parts.tests, 0.25)
  const none = await rewards.strict.score(item, ['', own])
  t.is(none.parts.tests, 1)
  t.is(none.parts.bonus_aux, 0)
})

test('strict keeps all top-level definitions of a completion, paper only functions', async (t) => {
  const rich = [
    'import functools',
    'from operator import (',
    '    add,',
    ')',
    '',
    'POWER = 2',
    '',
    'class Squarer:',
    '    def __call__(self, x):',
    '        return x ** POWER',
    '',
    '@functools.lru_cache(maxsize=None)',
    'def square(',
    '    x,',
    ') -> int:',
    '    def inner(y):',
    '        return Squarer()(y)',
    '    return inner(x)',
    '',
    'def total(xs):',
    '    result = functools.reduce(add, map(square, xs), 0)',
    '    assert aux(0) == 0',
    '    return result',
    '',
    'print(total([1, 2, 3]))',
    'assert total([1]) == 17',
  ].join('\n')
  const { total, parts } = await rewards.strict.score(item, [aux, rich])
  t.is(total, 4, JSON.stringify(parts))
  t.true((await rewards.paper.score(item, [aux, rich])).total < 2)
})

const syntaxOf = async (texts: string[]) => (await rewards.strict.score(item, texts)).parts.syntax

test('strict: code that does not parse ends the scoring, whatever good code stands beside it', async (t) => {
  const cases = [
    ['def aux folds\ndef aux folds\n', ''],
    ['class\n', ''],
    ['x = = 3\n', ''],
    ['print "hello"\n', ''],
    ['import from math\n', ''],
    ['', 'def other(x):\n    return ['],
    ['', '\nassert total([1]) =='],
    ['', '\n  return 3'],
  ]
  for (const [before, after] of cases)
    for (const texts of [
      [aux, `${before}${useful}${after}`],
      [`${before}${aux}${after}`, useful],
      [aux, `\`\`\`python\n${before}${useful}${after}\n\`\`\`\n`],
    ]) {
      const { total, parts } = await rewards.strict.score(item, texts)
      t.is(total, 1, JSON.stringify(texts))
      t.is(parts.syntax, 0)
      t.is(parts.tests, 0)
    }
})

test('strict: quotes that both agents leave open do not close each other', async (t) => {
  t.is(await syntaxOf([`${aux}"""\n`, `"""\n${useful}`]), 0)
})

test('strict: what stands outside of fences is no part of the code; without fences all of it is', async (t) => {
  const words = [
    'Sure! Here is the function:',
    '- it squares\n- it adds',
    '**Explanation**',
    'total aux aux (',
    'return5 = = 3',
  ]
  for (const text of words) {
    t.is(await syntaxOf([aux, `${text}\n\`\`\`py\n${useful}\`\`\`\n${text}`]), 0.5, text)
    for (const [before, after] of [
      [text, ''],
      ['', text],
    ])
      for (const texts of [
        [aux, `${before}\n${useful}\n${after}`],
        [`${before}\n${aux}\n${after}`, useful],
        [aux, `\`\`\`py\n${before}\n${useful}\n${after}\n\`\`\``],
      ])
        t.is((await rewards.strict.score(item, texts)).total, 1, JSON.stringify(texts))
  }
  const shell = `\`\`\`sh\npip install --user x\n\`\`\`\n\`\`\`python3\n${useful}\`\`\`\n`
  t.is(await syntaxOf([aux, shell]), 0.5, 'a fence of another language')
})

test('strict: what only the compiler refuses is no Python either', async (t) => {
  for (const line of [
    'return 5',
    'break',
    'nonlocal x',
    'def f(a, a): pass',
    'await x',
    'def g():\n    global q\n    q: int = 1',
  ])
    for (const texts of [
      [aux, `${useful}\n${line}\n`],
      [`${aux}\n${line}\n`, useful],
    ])
      t.is((await rewards.strict.score(item, texts)).total, 1, line)
})

test('strict: a prompt may end in the head of its function', async (t) => {
  const open = {
    ...item,
    prompt: 'import math\n\nK = 2\n\ndef total(xs):\n',
    test: 'assert total([3]) == 9\nassert math.pi > K\n',
  }
  const main = 'def total(xs):\n    result = math.fsum(x ** K for x in xs)\n    return result\n'
  t.is((await rewards.strict.score(open, ['', main])).parts.tests, 1)
})

test('strict: helper functions of the prompt are there for the program and its tests', async (t) => {
  const helped: CodeItem = {
    prompt:
      'import math\n\nK = 3\n\ndef triple(x):\n    return K * x\n\ndef f(x):\n    """Three times x, and one."""\n',
    test: 'def check(candidate):\n    for i in range(4):\n        y = triple(i)\n        assert candidate(i) == y + 1\n    assert math.isclose(candidate(0), 1)\n',
    entry_point: 'f',
  }
  const { parts } = await rewards.strict.score(helped, ['', 'def f(x):\n    y = triple(x)\n    return y + 1\n'])
  t.is(parts.tests_passed, 2)
  t.is(parts.tests_total, 2)
})

test('strict: the prompt needs no def, and tests may be plain asserts', async (t) => {
  const plain: CodeItem = {
    prompt: 'Write a function `double` that doubles a number.\nIt is not hard.',
    test: 'assert double(1) == 2\nfor i in range(3):\n    assert double(i) == i + i\nvalue = double(4)\nassert value == 9\n',
    entry_point: 'double',
  }
  const { parts } = await rewards.strict.score(plain, ['', 'def double(x):\n    return 2 * x\n'])
  t.is(parts.tests_passed, 2)
  t.is(parts.tests_total, 3)
})

test('paper: nested functions cut the outer one short, multi-line asserts are not seen', async (t) => {
  const nested = 'def total(xs):\n    def square(x):\n        return x * x\n    return sum(square(x) for x in xs)\n'
  const cut = await rewards.paper.score(item, ['', nested])
  t.is(cut.parts.structure_main, 0.6)
  t.is(cut.parts.tests, 0)
  t.is((await rewards.strict.score(item, ['', nested])).parts.tests, 1)
  const test =
    'def check(candidate):\n    assert candidate([1, 2]) == 5\n    assert candidate(\n        []) == 0\n    assert candidate([1, 2]) == 5\n    assert True\n'
  const { parts } = await rewards.paper.score({ ...item, test }, ['', alone])
  t.is(parts.tests_total, 2)
  t.is(parts.tests_passed, 1)
})

test('paper: both sides of a plain equality are evaluated once more beforehand', async (t) => {
  const counting = 'def total(xs, seen=[]):\n    seen.append(1)\n    return len(seen)\n'
  const test =
    'def check(candidate):\n    assert candidate([]) == 2\n    assert candidate([]) >= 3\n    assert candidate([]) == 5\n'
  const { parts } = await rewards.paper.score({ ...item, test }, ['', counting])
  t.is(parts.tests_passed, 3)
})

test('hostile completions score as failed programs', async (t) => {
  for (const rules of ['strict', 'paper'] as const) {
    const exit = await rewards[rules].score(item, [
      aux,
      'def total(xs):\n    import os\n    os._exit(0)\n    return aux(xs)\n',
    ])
    t.is(exit.total, 1.5, rules)
    const equal = await rewards[rules].score(item, [
      aux,
      'def total(xs):\n    k = type("Y", (), {"__eq__": lambda s, o: True})()\n    return k\n',
    ])
    t.is(equal.total, 1.5, rules)
  }
})

test('equal completions run once, and scores do not share their parts', async (t) => {
  let runs = 0
  const runCode = (request: Parameters<PythonSandbox['runCode']>[0]) => {
    runs++
    return sandbox.runCode(request)
  }
  const counting = { runCode } as unknown as PythonSandbox
  const reward = createCodeReward({ rules: 'strict', sandbox: counting, remember: 2 })
  const first = await reward.score(item, [aux, useful])
  const kept = { ...first.parts }
  first.parts.tests = -1
  t.deepEqual((await reward.score(item, [aux, useful])).parts, kept)
  t.is(runs, 1)
  await reward.score(item, [aux, alone])
  await reward.score(item, ['', alone])
  await reward.score(item, [aux, useful])
  t.is(runs, 4)
})

test('a field that is missing is an error that names it', async (t) => {
  for (const field of ['prompt', 'test', 'entry_point'] as const) {
    const broken = { ...item, [field]: undefined } as unknown as CodeItem
    const error = await t.throwsAsync(rewards.strict.score(broken, ['', '']))
    t.is((error as { code?: string }).code, 'ERR_DATA')
    t.true(error?.message.includes(`"${field}"`))
  }
})
