import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { ConfigError, MagrpoError } from '../../lib/base/errors.ts'
import { loadConfig, resolveConfig } from '../../lib/config/load.ts'
import { parseSetting } from '../../lib/config/set-paths.ts'

const minimal = { team: { model: 'model' }, task: 'story', optimizer: { learningRate: 1e-4 }, steps: 10 }

function issuesOf(input: unknown, settings: string[] = []): string[] {
  try {
    resolveConfig(input, { settings: settings.map(parseSetting) })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.issues.map(({ path, message }) => `${path}: ${message}`)
  }
}

async function fromYaml(text: string, settings: string[] = []) {
  const folder = await mkdtemp(join(tmpdir(), 'magrpo-config-'))
  try {
    const file = join(folder, 'my run.yaml')
    await writeFile(file, text)
    return await loadConfig(file, settings.map(parseSetting))
  } finally {
    await rm(folder, { recursive: true })
  }
}

test('a small configuration is enough, and defaults are filled in', (t) => {
  const config = resolveConfig(minimal)
  t.is(config.runDir, 'runs/run')
  t.is(config.seed, 0)
  t.deepEqual(config.team.adapter, { rank: 16, targets: 'all-linear' })
  t.deepEqual(config.task, { name: 'story', options: { heldOut: 200, rules: 'strict' } })
  t.deepEqual(config.algorithm, { name: 'magrpo' })
})

test('an unknown key names the nearest known one, at every depth', (t) => {
  t.deepEqual(issuesOf({ ...minimal, promptPerStep: 3 }), [
    'promptPerStep: unknown key; did you mean "promptsPerStep"?',
  ])
  t.deepEqual(issuesOf({ ...minimal, team: { model: 'm', adapter: { rnk: 2 } } }), [
    'team.adapter.rnk: unknown key; did you mean "rank"?',
  ])
  t.deepEqual(issuesOf({ ...minimal, optimizer: { learningRate: 1, lr: 1 } }), [
    'optimizer.lr: unknown key; did you mean "learningRate"?',
  ])
  t.deepEqual(issuesOf({ ...minimal, task: { name: 'story', heldout: 3 } }), [
    'task.heldout: unknown key; did you mean "heldOut"?',
  ])
})

test('unknown words name the nearest known one', (t) => {
  t.deepEqual(issuesOf({ ...minimal, task: 'storry' }), ['task.name: unknown task "storry"; did you mean "story"?'])
  t.regex(issuesOf({ ...minimal, task: { name: './own.ts' } })[0]!, /^task\.name: .* `module: PATH` in place of name/)
  t.deepEqual(issuesOf({ ...minimal, algorithm: { jointMode: 'algin' } }), [
    'algorithm.jointMode: unknown value "algin"; did you mean "align"?',
  ])
})

test('everything that is wrong is listed, each with its line', async (t) => {
  const error = await t.throwsAsync(
    fromYaml(
      [
        'team:', //               1
        '  adapter:', //          2
        '    rank: 0', //         3
        'task: { name: tldr }', // 4
        'optimizer:', //          5
        '  learningRat: 1', //    6
        'epochs: 1', //           7
        'steps: 1.5', //          8
      ].join('\n'),
    ),
    { instanceOf: ConfigError },
  )
  const lines = error.message.split('\n').slice(1)
  t.deepEqual(lines, [
    '  team.adapter.rank: expected an integer from 1 up; received 0 (line 3)',
    '  optimizer.learningRate: missing; expected a number from 0 up (line 5)',
    '  optimizer.learningRat: unknown key; did you mean "learningRate"? (line 6)',
    '  steps: expected an integer from 1 up; received 1.5 (line 8)',
    '  task.train: missing; expected text, or expected an object (line 4)',
    '  epochs: give steps or epochs, not both (line 7)',
    '  team.model: missing; give model for all agents, or models, one an agent (line 1)',
  ])
  t.regex(error.message, /my run\.yaml is not valid:/)
})

test('settings win over the file, and their mistakes carry no line of it', async (t) => {
  const yaml = 'team: { model: m }\ntask: story\noptimizer: { learningRate: 1 }\nsteps: 5\n'
  const config = await fromYaml(yaml, ['steps=7', 'team.adapter=full', 'optimizer.learningRate=2e-5'])
  t.is(config.steps, 7)
  t.is(config.team.adapter, 'full')
  t.is(config.optimizer.learningRate, 2e-5)
  t.is(config.name, 'my-run')
  const error = await t.throwsAsync(fromYaml(yaml, ['steps=many']), { instanceOf: ConfigError })
  t.regex(error.message, /steps: expected an integer from 1 up; received "many"$/)
})

test('a task of the user is a module', (t) => {
  t.deepEqual(resolveConfig({ ...minimal, task: './my-task.ts' }).task, { module: './my-task.ts' })
  t.deepEqual(resolveConfig({ ...minimal, task: { module: 'a.mjs', options: { n: 1 } } }).task, {
    module: 'a.mjs',
    options: { n: 1 },
  })
  t.deepEqual(issuesOf({ ...minimal, task: { module: 'a.mjs', option: 1 } }), [
    'task.option: unknown key; did you mean "options"?',
  ])
})

test('broken YAML and a missing file name the file', async (t) => {
  const broken = await t.throwsAsync(fromYaml('a: [1\nb: 2\n'), { instanceOf: MagrpoError })
  t.is(broken.code, 'ERR_CONFIG')
  t.regex(broken.message, /my run\.yaml, line \d+, column \d+: not valid YAML/)
  const list = await t.throwsAsync(fromYaml('- a\n'), { instanceOf: MagrpoError })
  t.regex(list.message, /expected keys and values at the top level/)
  const missing = await t.throwsAsync(loadConfig('no/such.yaml'), { instanceOf: MagrpoError })
  t.regex(missing.message, /no\/such\.yaml cannot be read/)
})

test('whatever the input, the answer is a configuration or a ConfigError', (t) => {
  fc.assert(
    fc.property(fc.anything({ maxDepth: 3 }), fc.constantFrom(...Object.keys(minimal)), (value, key) => {
      issuesOf({ ...minimal, [key]: value })
      return true
    }),
    { numRuns: 300 },
  )
  t.pass()
})
