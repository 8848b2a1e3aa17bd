/** The registry of tasks: its entries are light, complete, and named wherever a person chooses a task. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { readOptions } from '../../lib/base/validate.ts'
import { taskNames, taskRegistry } from '../../lib/tasks/names.ts'
import { storyOptions } from '../../lib/tasks/story/options.ts'
import { pythonReward } from '../../lib/tasks/task/python-reward.ts'
import { runCli } from '../support/cli.ts'
import { rejectsWith } from '../support/errors.ts'
import { repositoryDir } from '../support/fixtures.ts'

const folder = join(repositoryDir, 'lib/tasks')

test('every folder with an entry is in the registry under its own name', (t) => {
  const hasEntry = (name: string) => {
    const file = join(folder, name, 'entry.ts')
    return existsSync(file) && readFileSync(file, 'utf8').includes('export const entry =')
  }
  t.deepEqual(readdirSync(folder).filter(hasEntry).sort(), [...taskNames].sort())
  for (const name of taskNames) t.true(existsSync(join(repositoryDir, 'docs/tasks', `${name}.md`)), name)
})

test('an entry says what its task is about, and takes a reward in Python', (t) => {
  for (const [name, { about, options }] of Object.entries(taskRegistry)) {
    t.regex(about, /^[a-z].*[^.]$/, name)
    t.true('reward' in options.shape, name)
  }
})

/** What importing a file loads with it; imports of types load nothing. */
function loadedBy(file: string, loaded = new Set<string>()): Set<string> {
  if (loaded.has(file)) return loaded
  loaded.add(file)
  const text = readFileSync(file, 'utf8')
  for (const [, path] of text.matchAll(/^(?:import|export)(?! type)[^;'\n]*(?:\n[^;'\n]*)*? from '(\.[^']+)'/gm))
    loadedBy(join(dirname(file), path!), loaded)
  return loaded
}

test('the registry loads entries and options, and no task', (t) => {
  const loaded = [...loadedBy(join(folder, 'names.ts'))].map((file) => relative(folder, file))
  t.true(loaded.includes('tldr/entry.ts') && loaded.includes('code/options.ts'))
  t.deepEqual(
    loaded.filter((file) => /task\.ts$|load\.ts$|reward\.ts$|sandbox/.test(file)),
    [],
  )
})

test('the help of reward lists the tasks', async (t) => {
  const { stdout } = await runCli(['reward', '--help'])
  const text = stdout.replace(/\s+/g, ' ')
  t.true(text.includes(taskNames.join(', ')), text)
})

test('options have their defaults, and what is wrong with them is listed', async (t) => {
  t.deepEqual(readOptions('Task "story"', storyOptions, { other: 1 }, ['other']), { heldOut: 200, rules: 'strict' })
  const error = t.throws(() => readOptions('Task "story"', storyOptions, { heldOut: -1, rules: 'stricd' }), {
    instanceOf: ConfigError,
  })
  t.deepEqual(
    error?.issues.map(({ path }) => path),
    ['heldOut', 'rules'],
  )
  t.regex(error!.message, /^Task "story" is not valid:.*did you mean "strict"\?/s)
  await rejectsWith(
    t,
    async () => pythonReward({ python: 'a.py:f', workers: 0, timeoutMs: 2 ** 31 }),
    'ERR_TASK',
    'workers: expected an integer from 1 up; received 0',
    'timeoutMs: ',
  )
})
