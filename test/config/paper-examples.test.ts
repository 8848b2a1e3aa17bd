import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { loadConfig } from '../../lib/config/load.ts'
import { repositoryDir } from '../support/fixtures.ts'

const folder = join(repositoryDir, 'examples/paper')
const names = readdirSync(folder).filter((file) => file.endsWith('.yaml'))

for (const name of names) {
  test(`examples/paper/${name} is a valid configuration, named as its file`, async (t) => {
    const config = await loadConfig(join(folder, name))
    t.is(`${config.name}.yaml`, name)
    // Critics are made by themselves only over adapters.
    const hasOwnCritic = config.algorithm.critic?.placement === 'separate' && config.team.adapter === 'full'
    t.is(config.team.critic !== undefined, hasOwnCritic)
  })
}

test('every experiment has a small twin with the same task and algorithm', async (t) => {
  const whole = names.filter((name) => !name.endsWith('-small.yaml'))
  t.true(whole.length >= 7)
  for (const name of whole) {
    const config = await loadConfig(join(folder, name))
    const small = await loadConfig(join(folder, name.replace('.yaml', '-small.yaml')))
    t.is((small.task as { name: string }).name, (config.task as { name: string }).name)
    const { groupSize: _group, critic: _critic, ...algorithm } = config.algorithm
    t.like(small.algorithm, algorithm)
    t.regex(config.team.model ?? '', /^Qwen\//)
  }
})
