/** docs/checkpoints.md names every file of a run folder and every error code of resuming. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { checkpointSection } from '../../lib/run/checkpoint-options.ts'
import { runFiles } from '../../lib/run/run-folder.ts'
import { repositoryDir } from '../support/fixtures.ts'

const page = readFileSync(join(repositoryDir, 'docs/checkpoints.md'), 'utf8')

test('every file, default and error code is there', (t) => {
  for (const name of Object.values(runFiles)) t.true(page.includes(`\`${name}`), name)
  for (const code of ['ERR_CHECKPOINT', 'ERR_RUN_LOCKED', 'ERR_DATA', 'ERR_RUN', 'ERR_RUN_VERSION'])
    t.true(page.includes(`\`${code}\``), code)
  for (const [name, value] of Object.entries(checkpointSection.parse({})))
    t.regex(page, new RegExp(`\`${name}\`[^.]*\\(default ${value}\\)`))
})
