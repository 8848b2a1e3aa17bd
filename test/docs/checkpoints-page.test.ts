/** docs/checkpoints.md: its TypeScript type-checks, and it names every file of a run folder and every error code of resuming. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { checkpointDefaults } from '../../lib/run/checkpointer.ts'
import { runFiles } from '../../lib/run/run-folder.ts'
import { repositoryDir } from '../support/fixtures.ts'

const page = readFileSync(join(repositoryDir, 'docs/checkpoints.md'), 'utf8')

test('its TypeScript type-checks', async (t) => {
  mkdirSync(join(repositoryDir, 'build'), { recursive: true })
  const work = mkdtempSync(join(repositoryDir, 'build/docs-'))
  t.teardown(() => rmSync(work, { recursive: true }))
  const blocks = [...page.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, code]) => code!)
  t.true(blocks.length >= 2)
  for (const [index, code] of blocks.entries()) writeFileSync(join(work, `block-${index}.ts`), code)
  const config = {
    extends: '../../tsconfig.json',
    compilerOptions: { paths: { magrpo: ['../../lib/index.ts'] }, typeRoots: ['../../node_modules/@types'] },
    include: ['*.ts'],
  }
  writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(config))
  const output = await promisify(execFile)(join(repositoryDir, 'node_modules/.bin/tsc'), ['--noEmit', '-p', work], {
    cwd: repositoryDir,
  }).then(
    () => '',
    (error: { stdout?: string; message: string }) => error.stdout || error.message,
  )
  t.deepEqual(
    output.split('\n').filter((line) => line.includes('docs-')),
    [],
  )
})

test('every file, default and error code is there', (t) => {
  for (const name of Object.values(runFiles)) t.true(page.includes(`\`${name}`), name)
  for (const code of ['ERR_CHECKPOINT', 'ERR_RUN_LOCKED', 'ERR_DATA', 'ERR_RUN', 'ERR_RUN_VERSION'])
    t.true(page.includes(`\`${code}\``), code)
  for (const [name, value] of Object.entries(checkpointDefaults))
    t.regex(page, new RegExp(`\`${name}\`[^.]*\\(default ${value}\\)`))
})
