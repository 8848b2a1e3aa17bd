import test from 'ava'
import { runCli } from '../support/cli.ts'

const line = (value: unknown) => `${JSON.stringify(value)}\n`
const short = 'one two three four five six seven eight'
const long = 'however the quick brown fox jumps over a lazy dog and then runs far away'

test('one line each, in the order of the input, on stdout alone', async (t) => {
  const input = [short, long, 'x'].map((text) => line({ item: {}, completions: [short, text] })).join('')
  const result = await runCli(['reward', '--task', 'tldr', '--rules', 'paper', '--json'], { input })
  t.is(result.code, 0)
  t.is(result.stderr, '')
  const rewards = result.json() as { total: number; parts: Record<string, number> }[]
  t.deepEqual(
    rewards.map(({ total }) => total > 0),
    [true, true, false],
  )
  t.true(rewards[1]!.total > rewards[0]!.total)
  for (const { total, parts } of rewards)
    t.is(
      Object.values(parts)
        .reduce((sum, value) => sum + value, 0)
        .toFixed(9),
      total.toFixed(9),
    )
})

test('a broken line ends it with a coded error, after the results before it', async (t) => {
  const input = `${line({ completions: [short, long] })}${line({ completions: 'x' })}`
  const result = await runCli(['reward', '--task', 'tldr', '--json'], { input })
  t.is(result.code, 1)
  t.is(result.json().length, 1)
  t.regex(
    result.stderr,
    /^magrpo: Input line 2: expected an array of texts in "completions" but received "x"\.\ncode: ERR_DATA\n$/,
  )
})

test('a field that is not known is an error that names the nearest', async (t) => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ completion: [short, long] }, /Input line 1: unknown field "completion"; did you mean "completions"\?/],
    [{ completions: [short, long], items: {} }, /unknown field "items"; did you mean "item"\?/],
    [{ completions: [short, long], zzzzzzzz: {} }, /unknown field "zzzzzzzz"; known: item, completions/],
  ]
  for (const [value, message] of cases) {
    const { code, stderr } = await runCli(['reward', '--task', 'tldr', '--json'], { input: line(value) })
    t.is(code, 1)
    t.regex(stderr, message)
    t.regex(stderr, /code: ERR_DATA/)
  }
})

test('a program that fails has a reason', async (t) => {
  const item = { prompt: 'def f(x):\n', test: 'assert f(1) == 2\n', entry_point: 'f' }
  const bodies = ['return x + 1', 'return x', 'return x.y', 'return (', 'pass']
  const input = bodies.map((body) => line({ item, completions: [`def f(x):\n    ${body}\n`] })).join('')
  const { json } = await runCli(['reward', '--task', 'humaneval', '--json'], { input })
  t.deepEqual(
    (json() as { reason?: string }[]).map(({ reason }) => reason),
    [
      undefined,
      'assert',
      "exception: AttributeError: 'int' object has no attribute 'y'",
      'syntax: the program does not parse',
      'name: the entry point is missing or returns nothing',
    ],
  )
  const told = await runCli(['reward', '--task', 'humaneval'], { input })
  t.regex(told.stdout, /tests_passed 0 .*\(assert\)\n/)
})

test('wrong usage is exit code 2', async (t) => {
  const cases: [string[], RegExp][] = [
    [['reward', '--task', 'tldrr'], /unknown task "tldrr"; did you mean tldr\?/],
    [['reward'], /required option '--task <name>'/],
    [['reward', '--task', 'tldr', '--rules', 'loose'], /Allowed choices are paper, strict/],
    [['reword'], /Did you mean reward\?/],
  ]
  for (const [args, message] of cases) {
    const result = await runCli(args)
    t.is(result.code, 2, args.join(' '))
    t.is(result.stdout, '')
    t.regex(result.stderr, /^magrpo: /)
    t.regex(result.stderr, message)
  }
})

test('--version and --help go to stdout', async (t) => {
  const version = await runCli(['--version'])
  t.regex(version.stdout, /^\d+\.\d+\.\d+\n$/)
  const help = await runCli(['reward', '--help'])
  t.is(help.code, 0)
  t.regex(help.stdout, /Example:/)
})
