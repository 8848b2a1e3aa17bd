/** The code blocks of docs/algorithms: TypeScript type-checks, YAML makes the algorithm it shows. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { parse } from 'yaml'
import { resolveConfig } from '../../lib/config/load.ts'
import { algorithmNames } from '../../lib/rl/algorithm-options.ts'
import { algorithmOf } from '../../lib/rl/algorithms.ts'
import { repositoryDir } from '../support/fixtures.ts'

const folder = join(repositoryDir, 'docs/algorithms')
const pages = readdirSync(folder).filter((file) => file.endsWith('.md'))

/** Code blocks of one language, with the page they are of. */
function blocksOf(language: string): { page: string; code: string }[] {
  return pages.flatMap((page) => {
    const text = readFileSync(join(folder, page), 'utf8')
    return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => ({
      page,
      code: code!,
    }))
  })
}

test('every algorithm has a page, every link of a page leads somewhere', (t) => {
  for (const name of algorithmNames) t.true(pages.includes(`${name}.md`), name)
  for (const page of pages) {
    for (const [, target] of readFileSync(join(folder, page), 'utf8').matchAll(/\]\(([\w-]+\.md)/g)) {
      t.true(pages.includes(target!), `${page}: ${target}`)
    }
  }
})

test('YAML blocks are valid and make the algorithm of their page', (t) => {
  for (const { page, code } of blocksOf('yaml')) {
    const { algorithm } = resolveConfig({
      team: { model: 'm' },
      task: 'story',
      optimizer: { learningRate: 1 },
      steps: 1,
      ...(parse(code) as object),
    })
    const { name, ...settings } = algorithm
    const made = algorithmOf(name, settings)
    if (page !== 'options.md') t.is(`${made.name}.md`, page)
  }
})

test('TypeScript blocks type-check', async (t) => {
  const build = join(repositoryDir, 'build')
  mkdirSync(build, { recursive: true })
  const work = mkdtempSync(join(build, 'docs-'))
  try {
    const blocks = blocksOf('ts')
    t.true(blocks.length >= algorithmNames.length)
    for (const [index, { page, code }] of blocks.entries()) {
      writeFileSync(join(work, `${page.replace('.md', '')}-${index}.ts`), code)
    }
    const config = {
      extends: '../../tsconfig.json',
      compilerOptions: { paths: { magrpo: ['../../lib/index.ts'] }, typeRoots: ['../../node_modules/@types'] },
      include: ['*.ts'],
    }
    writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(config))
    const compiler = join(repositoryDir, 'node_modules/.bin/tsc')
    const run = promisify(execFile)(compiler, ['--noEmit', '-p', work], { cwd: repositoryDir })
    const output = await run.then(
      () => '',
      (error: { stdout?: string; message: string }) => error.stdout || error.message,
    )
    // Only what is wrong in the pages: the rest of the project has its own check.
    t.deepEqual(
      output.split('\n').filter((line) => line.includes('docs-')),
      [],
    )
  } finally {
    rmSync(work, { recursive: true })
  }
})
