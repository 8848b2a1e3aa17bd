/** The generated pages are those that the docstrings and schemas of now give. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { generate } from '../../scripts/docs/main.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

test('the references are up to date (npm run docs), and every public name has a docstring', async (t) => {
  const folder = await temporaryFolder(t)
  const names = await generate(folder)
  t.true(names.length >= 4)
  for (const name of names)
    t.true(
      readFileSync(join(folder, name), 'utf8') === readFileSync(join(repositoryDir, name), 'utf8'),
      `${name} is not what npm run docs writes`,
    )
})
