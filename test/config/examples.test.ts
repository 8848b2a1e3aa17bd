import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { loadConfig } from '../../lib/config/load.ts'
import { repositoryDir } from '../support/fixtures.ts'

const folder = join(repositoryDir, 'examples')

const isRun = (file: string) => file.endsWith('.yaml') && !file.endsWith('compare.yaml')

for (const name of readdirSync(folder).filter(isRun)) {
  test(`examples/${name} is a valid configuration, named as its file`, async (t) => {
    const config = await loadConfig(join(folder, name))
    t.is(`${config.name}.yaml`, name)
  })
}
