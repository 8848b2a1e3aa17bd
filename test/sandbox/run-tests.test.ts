import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'

let sandbox: PythonSandbox

test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 2, limits: { cpuSeconds: 0.5, programCpuSeconds: 4 } })
})

test.after.always(() => sandbox?.dispose())

function run(program: string, tests: string, prelude = '') {
  return sandbox.runTests({ program, entryPoint: 'f', tests, prelude })
}

test('every kind of plain value crosses unchanged, both ways', async (t) => {
  const values = [
    'None',
    'True',
    '0',
    '-1',
    '10**30',
    '-(2**63)',
    '1.5',
    '-0.0',
    'float("inf")',
    '1e308',
    '"a\\u00e9\\U0001f600\\ud800"',
    'b"\\x00\\xff"',
    '[]',
    '[1, [2, [3]]]',
    '(1, (2,), ())',
    '{"a": {1: (2,)}}',
    '{1, 2}',
    'frozenset({1})',
    '1+2j',
    'range(3)',
    'bytearray(b"ab")',
    '...',
  ]
  const tests = values.map(
    (value) => `assert (lambda v, r: type(v) is type(r) and repr(v) == repr(r))(${value}, f(${value}))`,
  )
  const report = await run(
    'def f(x):\n    return x\n',
    `${tests.join('\n')}\nassert f(float("nan")) != f(float("nan"))\n`,
  )
  t.is(report.message, '')
  t.is(report.passed, values.length + 1)
  t.is(report.forgeable, 0)
})

test('changes of arguments, aliases and cycles can be seen by the tests', async (t) => {
  const program = [
    'def f(rows, extra=None):',
    '    rows[0].append(9)',
    '    rows.reverse()',
    '    if extra is not None:',
    '        extra["rows"] = rows',
    '    return rows',
    '',
  ].join('\n')
  const tests = [
    'a, b = [1], [2]',
    'rows, extra = [a, b], {}',
    'result = f(rows, extra=extra)',
    'assert result is rows and rows == [[2], [1, 9]]',
    'assert rows[0] is b and rows[1] is a and a == [1, 9]',
    'assert extra["rows"] is rows',
    'loop = [[]]',
    'loop.append(loop)',
    'f(loop)',
    'assert loop[0] is loop and loop[1] == [9]',
  ]
  const report = await run(program, tests.join('\n'))
  t.is(report.reason, null, report.message)
  t.is(report.passed, 4)
})

test('functions, generators and objects of the program can be used from outside, and win nothing', async (t) => {
  const program = [
    'class Thing: pass',
    'def f(kind):',
    '    if kind == "function": return lambda x: x + 1',
    '    if kind == "generator": return (i * i for i in __import__("itertools").count())',
    '    if kind == "map": return map(str, [1, 2])',
    '    if kind == "keys": return {1: 2}.keys()',
    '    if kind == "counter": return __import__("collections").Counter("aab")',
    '    return Thing()',
    'import math',
    'def kind(x):',
    '    return type(x).__name__',
    'def apply(g, x):',
    '    return g(x)',
    '',
  ].join('\n')
  const tests = [
    'assert f("function")(1) == 2',
    'g = f("generator")',
    'assert [next(g), next(g), next(g)] == [0, 1, 4]',
    'assert list(f("map")) == ["1", "2"] and f("map") != ["1", "2"]',
    'assert sorted(f("keys")) == [1]',
    'assert f("counter") == {"a": 2, "b": 1}',
    'assert f("thing") != f("thing") and "Thing" in repr(f("thing"))',
    'assert apply(f("function"), 4) == 5',
    'assert apply(kind, f("thing")) == "Thing" and math.floor(1.5) == 1',
  ]
  const report = await run(program, tests.join('\n'))
  t.is(report.reason, null, report.message)
  t.is(report.passed, 8)
  t.is(report.forgeable, 0)
})

test('asserts go on after one that fails, and a loop is one statement', async (t) => {
  const tests = [
    'METADATA = {}',
    'def check(candidate):',
    '    assert candidate(1) == 2, "first"',
    '    assert candidate(2) == 5, "second"',
    '    total = 0',
    '    for i in range(5):',
    '        assert candidate(i) == 2 * i',
    '        total += candidate(i)',
    '    for i in range(5):',
    '        assert candidate(i) != 4',
    '    assert (',
    '        total',
    '        == 20',
    '    )',
    '    if total == 0:',
    '        assert False',
    '',
  ].join('\n')
  const report = await run('def f(x):\n    return 2 * x\n', tests)
  t.is(report.passed, 3)
  t.is(report.total, 5)
  t.deepEqual(
    report.outcomes.map((outcome) => outcome.ok),
    [true, false, true, false, true],
  )
  t.is(report.outcomes[1]?.message, 'second')
})

test('what a test module may do: asserts without check, a call of check of its own, exceptions by class', async (t) => {
  const program =
    'LIMIT = 3\ndef helper(x):\n    return x - 1\ndef f(x):\n    if x > LIMIT:\n        raise ValueError("big")\n    return x\n'
  const tests = [
    'import math',
    'def check(g):',
    '    try:',
    '        g(5)',
    '        assert False, "no error"',
    '    except ValueError as error:',
    '        assert str(error) == "ValueError: big"',
    'check(f)',
    'assert math.isclose(f(2), 2.0) and helper(2) == 1 and LIMIT == 3',
    'assert ready(1)',
  ].join('\n')
  const report = await run(program, tests, 'def ready(x):\n    return f(x) == 1\n')
  t.is(report.reason, null, report.message)
  t.is(report.passed, 3)
  t.is(report.total, 3)
})

test('tests that end early fail what they did not reach', async (t) => {
  const report = await run(
    'def f(x):\n    return [][x]\n',
    'assert f\ny = f(1)\nassert y == 1\nassert True\nassert y == 2\n',
  )
  t.is(report.passed, 0)
  t.deepEqual(
    report.outcomes.map(({ number }) => number),
    [1, 3],
  )
  t.is(report.reason, 'exception')
  t.true(report.message.startsWith('IndexError'))
})

test('tests that end early give no full marks, though all asserts that say something of the program have passed', async (t) => {
  const program = 'def f(x):\n    if x < 0: raise TypeError\n    return x\n'
  const ends = {
    'an assert that never runs': 'try:\n    f(-1)\n    assert False\nexcept ValueError:\n    pass\n',
    'no further assert': 'f(-1)\n',
  }
  for (const [title, end] of Object.entries(ends)) {
    const report = await run(program, `assert f(1) == 1\nassert f(2) == 2\n${end}`)
    t.true(report.passed < report.total, title)
    t.is(report.reason, 'exception', title)
  }
})

test('an assert that passes without anything of the program is no test; one that fails always is', async (t) => {
  const program =
    'LIMIT = 3\ndef helper(x):\n    return x\ndef f(x, out=None):\n    if out is not None: out.append(x)\n    if x < 0: raise ValueError\n    return x\n'
  const counted = async (tests: string, prelude = '') => {
    const { outcomes } = await run(program, tests, prelude)
    return outcomes.map(({ number, ok }) => (ok ? number : -number - 1))
  }
  const setUp = 'one = 1\nx, xs, out = f(2), [f(1)], []\nf(5, out)\ntwo = out[0]\n'
  t.deepEqual(
    await counted('assert True, "good"\nassert 1\nassert f(1) == 1\nassert 1 + 1 == 2\nassert not False'),
    [2],
  )
  t.deepEqual(
    await counted(`${setUp}assert x == 2\nassert xs == [1]\nassert out\nassert one == 1\nassert two == 5`),
    [0, 1, 2, 4],
  )
  t.deepEqual(await counted('assert f\nassert callable(f)\nassert f is f\nassert LIMIT == 3\nassert helper(1)'), [4])
  t.deepEqual(
    await counted(
      'try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert type(e).__name__ == "ValueError"',
    ),
    [1],
  )
  t.deepEqual(await counted('try:\n    f(1)\n    assert False\nexcept ValueError:\n    assert True'), [-1])
  t.deepEqual(
    await counted(
      'for i in range(3):\n    y = f(i)\n    assert near(y, i)\n    assert near(1, 1)',
      'def near(a, b):\n    return a == b\n',
    ),
    [0],
  )
  t.deepEqual(await counted('def check(g):\n    assert ok(3)\n    assert ok\ndef ok(x):\n    return f(x) == x\n'), [0])
  t.deepEqual(
    await counted(
      'import unittest\nclass T(unittest.TestCase):\n    def runTest(self):\n        self.r = f(1)\n        assert self.r == 1\n        assert 2\nT().debug()',
    ),
    [0],
  )
})

test('an assert about what was set as a call of the program ended is a test', async (t) => {
  const program = 'def f(x):\n    if x < 0: raise ValueError\n    return x\n'
  const files = {
    'an error or none': 'try:\n    f(-1)\n    ok = False\nexcept ValueError:\n    ok = True\nassert ok\n',
    'no error': 'ok = False\ntry:\n    f(1)\nexcept ValueError:\n    pass\nelse:\n    ok = True\nassert ok\n',
    'an error that a context keeps':
      'import contextlib\nok = True\nwith contextlib.suppress(ValueError):\n    f(-1)\n    ok = False\nassert ok\n',
    'a branch': 'ok = False\nif f(1) == 1:\n    ok = True\nassert ok\n',
    'rounds of a loop': 'n = 0\nwhile f(n) < 3:\n    n += 1\nassert n == 3\n',
    'rounds that a jump leaves out':
      'n = 0\nfor i in range(4):\n    if f(i) == 1:\n        continue\n    n += 1\nassert n == 3\n',
    'a list that results are put into': 'seen = []\nseen.append(f(1))\nassert seen == [1]\n',
  }
  for (const [title, tests] of Object.entries(files)) {
    const { passed, total } = await run(program, `${tests}assert 1\n`)
    t.deepEqual([passed, total], [1, 1], title)
  }
  const unrelated = 'import math\nmath.floor(f(1))\none = 1\nif one:\n    two = 2\nassert math.pi > 3 and two == 2\n'
  t.is((await run(program, unrelated)).total, 0)
})

test('a test that the file itself ties to one process fails, or runs beside the program and is marked', async (t) => {
  const program = 'class Pair:\n    def __init__(self, a): self.a = a\ndef f(g, x):\n    return g(x)\n'
  const mixed = 'assert f(lambda x: x + 1, 1) == 2\nassert f(lambda x: x, 1) == 2\nassert f(abs, 1) == 1\n'
  const classes = 'assert Pair(3).a == 3\nassert Pair(3).a == 4\n'
  const outcomesOf = async (tests: string, forgeable?: 'fail' | 'count') => {
    const { outcomes } = await sandbox.runTests({ program, entryPoint: 'f', tests, forgeable })
    return outcomes.map(({ ok, forgeable, reason }) => [ok, forgeable, reason])
  }
  const refused = [false, true, 'forgeable']
  for (const how of [undefined, 'fail'] as const) {
    t.deepEqual(await outcomesOf(mixed, how), [refused, refused, refused])
    t.deepEqual(await outcomesOf(classes, how), [refused, refused])
  }
  const passed = [true, true, null]
  const failed = [false, true, 'assert']
  t.deepEqual(await outcomesOf(mixed, 'count'), [passed, failed, passed])
  t.deepEqual(await outcomesOf(classes, 'count'), [passed, failed])
})

test('nothing that a program does moves tests into its own process', async (t) => {
  const forge = [
    'import sys',
    'for module in list(sys.modules.values()):',
    '    if hasattr(module, "run_module"):',
    '        def forged(tree, space, candidate, board):',
    '            for outcome in board.outcomes: outcome.runs = 1',
    '        module.run_module = forged',
    '',
  ].join('\n')
  const deep = 'def f(x):\n    t = ()\n    for _ in range(50000): t = (t,)\n    return t\n'
  const choices: [string, string, string][] = [
    ['a global that is no plain data', 'LIMIT = object()\ndef f(x):\n    return 0\n', 'assert f(1) == LIMIT'],
    ['a global that is a class', 'class LIMIT: pass\ndef f(x):\n    return 0\n', 'assert f(1) == LIMIT'],
    [
      'a global of hostile equality',
      'class A:\n    def __eq__(self, o): return True\nLIMIT = [A()]\ndef f(x):\n    return 0\n',
      'assert [f(1)] == LIMIT',
    ],
    ['a global nested too deep', `${deep}LIMIT = f(0)\n`, 'assert f(LIMIT) == 3'],
    [
      'a module of its own',
      'import sys\nmath = type(sys)("math")\nmath.sqrt = lambda x: 3\ndef f(x):\n    return 3\n',
      'assert f(1) == math.sqrt(1)',
    ],
    ['a value nested too deep', deep, 'assert f(f(1)) == 1'],
    [
      'a list nested too deep',
      'def f(x):\n    t = []\n    for _ in range(50000): t = [t]\n    return t\n',
      'assert f(f(1)) == 1',
    ],
    [
      'an argument changed to something deep',
      'def f(x, xs):\n    t = ()\n    for _ in range(50000): t = (t,)\n    xs.append(t)\n    return 1\n',
      'xs = []\nf(1, xs)\nassert f(2, xs) == 2',
    ],
    [
      'an argument changed to something foreign',
      'def f(x, xs):\n    xs.append(object())\n    xs.append(f)\n    xs.append(iter(()))\n    xs.append(type)\n    return 1\n',
      'xs = []\nf(1, xs)\nassert f(2, xs) == 2',
    ],
    ['an exception as a value', 'def f(x):\n    return ValueError(x)\n', 'assert f(f(1)) == 1'],
    ['a class as a value', 'def f(x):\n    return int\n', 'assert f(f(1)) == 1'],
    [
      'a huge fraction',
      'import fractions\nfractions.Fraction.__str__ = lambda s: "1e5000"\ndef f(x):\n    return fractions.Fraction(1, 2)\n',
      'assert f(f(1)) == 1',
    ],
  ]
  for (const [name, program, tests] of choices)
    for (const forgeable of ['fail', 'count'] as const) {
      const report = await sandbox.runTests({ program: forge + program, entryPoint: 'f', tests, forgeable })
      t.deepEqual([report.passed, report.total, report.forgeable], [0, 1, 0], `${name}: ${report.message}`)
      t.not(report.reason, null, name)
    }
})

test('what an object says of itself is asked for as in one process, and what it equals decides nothing', async (t) => {
  const program = [
    'class Sly:',
    '    def __eq__(self, other): return True',
    '    def __ne__(self, other): return True',
    '    def __lt__(self, other): return True',
    '    def __hash__(self): return 1',
    'class Broken:',
    '    def __bool__(self): raise ValueError("no")',
    'class Empty:',
    '    def __len__(self): return 0',
    'class Named:',
    '    def __repr__(self): return "Named(1)"',
    'class Number(int):',
    '    def __eq__(self, other): return False',
    '    __hash__ = int.__hash__',
    'class Next:',
    '    def __next__(self): return 1',
    '    def __eq__(self, other): return True',
    'class Call:',
    '    def __call__(self): return 1',
    '    def __ne__(self, other): return True',
    'one = object()',
    'def f(kind):',
    '    import re, collections, enum',
    '    return dict(sly=Sly(), broken=Broken(), empty=Empty(), named=Named(), number=Number(1), next=Next(), call=Call(), one=one, nan=float("nan"), keys={1: 2}.keys(),',
    '        match=re.match("a", "a"), point=collections.namedtuple("P", "x y")(1, 2), count=collections.Counter("a"),',
    '        enum=enum.IntEnum("E", "A").A)[kind]',
    '',
  ].join('\n')
  const fails = [
    'f("sly") == 1',
    'f("sly") != 1',
    'f("sly") < 1',
    '1 in [f("sly")]',
    '1 not in [f("sly")]',
    'len({f("sly"), f("sly")}) == 2',
    'f("broken")',
    'not f("broken")',
    'f("empty")',
    'f("number") == 1',
    'f("next") == 1',
    'f("next") != 1',
    'f("call") != 1',
    'f("one") != f("one")',
    'f("one") is not f("one")',
    'f("nan") is f("nan")',
    '[f("nan")] == [f("nan")]',
    'next(f("keys"))',
    'f("keys") != 1',
  ]
  const passes = [
    'not f("empty")',
    'f("match")',
    'f("one") == f("one") and f("one") is f("one")',
    'str(f("named")) == "Named(1)" == repr(f("named"))',
    'f("point") == (1, 2)',
    'f("count") == {"a": 1}',
    'f("enum") == 1',
    'f("one") != 1',
    'list(f("keys")) == [1] and len(f("keys")) == 1',
  ]
  const report = await run(program, [...fails, ...passes].map((text) => `assert ${text}`).join('\n'))
  t.deepEqual(
    report.outcomes.filter(({ ok }) => ok).map(({ number }) => [...fails, ...passes][number]),
    passes,
  )
  t.is(report.total, fails.length + passes.length)
})

test('a time limit is no exception that a test may expect', async (t) => {
  const program = 'def f(x):\n    while True: pass\n'
  const tests = 'try:\n    f(1)\nexcept Exception:\n    pass\nok = f(2)\nassert ok\n'
  const report = await run(program, tests)
  t.deepEqual([report.passed, report.total, report.reason], [0, 1, 'timeout'])
})

test('an object that equals everything cannot make a test run beside the program', async (t) => {
  const program = 'class Yes:\n    def __eq__(self, o): return True\ndef f(x):\n    return Yes()\n'
  const report = await run(program, 'assert f(1) == 1\nassert f(f(1)) == 1\nassert 1 == f(2)\n')
  t.is(report.forgeable, 0)
  t.is(report.passed, 0)
})

test('three timeouts end the tests, what had passed stays', async (t) => {
  const program = 'def f(x):\n    while x:\n        pass\n    return 0\n'
  const report = await sandbox.runTests({
    program,
    entryPoint: 'f',
    tests: `assert f(0) == 0\n${'assert f(1) == 0\n'.repeat(5)}assert f(0) == 0\n`,
    limits: { cpuSeconds: 0.1 },
  })
  t.is(report.passed, 1)
  t.is(report.total, 7)
  t.is(report.timeouts, 3)
  t.is(report.reason, 'timeout')
})

test('the CPU budget belongs to a test, not to a call', async (t) => {
  const program =
    'import time\ndef f(x):\n    end = time.process_time() + 0.2\n    while time.process_time() < end: pass\n    return x\n'
  const tests = 'assert f(1) == 1\nassert f(2) == 2\nassert all(f(i) == i for i in range(5))\nassert f(3) == 3\n'
  const report = await run(program, tests)
  t.deepEqual(
    report.outcomes.map((outcome) => outcome.reason),
    [null, null, 'timeout', null],
  )
})

test('waiting is limited as CPU time is, and the program goes on with its other tests', async (t) => {
  const program = 'import time\ndef f(x):\n    time.sleep(1000 if x == 2 else 0.01)\n    return x\n'
  const report = await run(program, 'assert f(1) == 1\nassert f(2) == 2\nassert f(3) == 3\n')
  t.deepEqual(
    report.outcomes.map(({ reason }) => reason),
    [null, 'timeout', null],
  )
  t.is(report.timeouts, 1)
  t.is(report.message, 'time limit: the program waits for something')
})

test('waiting over all tests is limited as well', async (t) => {
  const program = 'import time\ndef f(x):\n    time.sleep(0.2)\n    return x\n'
  const tests = 'for i in range(50):\n    assert f(i) == i\n'
  const limits = { cpuSeconds: 0.5, programCpuSeconds: 1 }
  const report = await sandbox.runTests({ program, entryPoint: 'f', tests, limits })
  t.is(report.reason, 'timeout')
  t.is(report.timeouts, 1)
})

test('programs that are killed for their time count as timeouts', async (t) => {
  const stubborn = (line: string) =>
    `import time\ndef f(x):\n    while True:\n        try:\n            while True: ${line}\n        except BaseException: pass\n`
  const tests = 'assert f(1) == 1\nassert f(2) == 2\n'
  const once = 'def f(x):\n    return sum(range(10**15))\n'
  for (const program of [stubborn('time.sleep(1000)'), once]) {
    const report = await run(program, tests)
    t.deepEqual([report.reason, report.timeouts, report.passed], ['timeout', 1, 0], program)
  }
  const heavy = await sandbox.runTests({
    program: stubborn('pass'),
    entryPoint: 'f',
    tests,
    limits: { cpuSeconds: 30, programCpuSeconds: 1 },
  })
  t.deepEqual([heavy.reason, heavy.timeouts], ['timeout', 1])
  const loading = await run('import time\ntime.sleep(1000)\ndef f(x):\n    return x\n', tests)
  t.deepEqual([loading.reason, loading.timeouts], ['timeout', 1])
})

test('tests that never end are stopped', async (t) => {
  const report = await sandbox.runTests({
    program: 'def f(x):\n    return x\n',
    entryPoint: 'f',
    tests: 'while True:\n    pass\n',
    limits: { wallSeconds: 0.5 },
  })
  t.is(report.reason, 'timeout')
  t.is((await run('def f(x):\n    return x\n', 'assert f(1) == 1\n')).passed, 1)
})

test('hashes and random numbers repeat', async (t) => {
  const program = 'import random\ndef f(x):\n    return [hash("a"), random.random(), list({"a", "b", "c"})]\n'
  const one = await run(program, 'assert False, repr(f(0))\n')
  const results = await Promise.all([1, 2, 3, 4].map(() => run(program, 'assert False, repr(f(0))\n')))
  for (const result of results) t.is(result.message, one.message)
})

test('tests that are no Python are an error that says so', async (t) => {
  const error = await t.throwsAsync(run('def f(x):\n    return x\n', 'assert ('))
  t.is((error as { code?: string }).code, 'ERR_DATA')
  t.true(error?.message.includes('"test"'))
})
