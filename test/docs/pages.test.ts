/** What holds for every page: its code is right, its commands exist, its links lead somewhere. */
import { execFile } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { parse } from 'yaml'
import { errorCodes } from '../../lib/base/errors.ts'
import { resolveCompareConfig } from '../../lib/compare/config.ts'
import { resolveConfig } from '../../lib/config/load.ts'
import { algorithmNames } from '../../lib/rl/algorithms/registry.ts'
import { generatedPages } from '../../scripts/docs/main.ts'
import { runCli } from '../support/cli.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { typeErrorsOf } from '../support/type-errors.ts'

const generated = generatedPages.map((name) => join(name))
const files = [
  ...['README.md', 'CONTRIBUTING.md', 'ARCHITECTURE.md'].map((name) => join(repositoryDir, name)),
  ...readdirSync(join(repositoryDir, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !generated.includes(name))
    .map((name) => join(repositoryDir, 'docs', name)),
]
const pages = files.map((file) => ({ page: relative(repositoryDir, file), file, text: readFileSync(file, 'utf8') }))

/** Code blocks of one language, with the page they are of. */
const blocksOf = (language: string) =>
  pages.flatMap(({ page, text }) =>
    [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => ({
      page,
      code: code!,
    })),
  )

const isPage = (file: string) => existsSync(file) || generated.includes(relative(join(repositoryDir, 'docs'), file))

test('every link leads somewhere, and every page is in the index', (t) => {
  for (const { page, file, text } of pages)
    for (const [, target] of text.matchAll(/\]\((?!https?:)([^)#]+)/g))
      t.true(isPage(join(dirname(file), target!)), `${page}: ${target}`)
  const index = readFileSync(join(repositoryDir, 'docs/README.md'), 'utf8')
  for (const { page } of pages.filter(({ page }) => page.startsWith('docs') && page !== 'docs/README.md'))
    t.true(index.includes(`](${relative('docs', page)})`), page)
  for (const page of generatedPages) t.true(index.includes(page), page)
})

test('pages have the code that is checked here', (t) => {
  const count = (language: string, page: string) => blocksOf(language).filter((block) => block.page === page).length
  for (const name of algorithmNames) t.true(count('ts', `docs/algorithms/${name}.md`) >= 1, name)
  t.true(count('ts', 'docs/checkpoints.md') >= 2)
  t.is(count('ts', 'docs/models.md'), 3)
  t.is(count('ts', 'docs/trackers.md'), 2)
  const lines = blocksOf('sh').filter(({ page }) => page === 'docs/watch.md')
  t.is(lines.flatMap(({ code }) => code.trim().split('\n')).length, 5)
})

test('TypeScript type-checks', async (t) => {
  const blocks = blocksOf('ts').map(({ page, code }, index) => [`${page.replace(/\W+/g, '-')}-${index}`, code])
  t.true(blocks.length >= 20)
  t.deepEqual(await typeErrorsOf(Object.fromEntries(blocks)), [])
})

test('YAML is a valid configuration, or part of one', async (t) => {
  const base = { team: { model: 'm' }, task: 'story', optimizer: { learningRate: 1 }, steps: 1 }
  for (const { page, code } of blocksOf('yaml')) {
    const value = parse(code) as Record<string, unknown>
    const { optimizer: _, steps: __, ...comparison } = base
    const check = async () =>
      'methods' in value ? resolveCompareConfig({ ...comparison, ...value }) : resolveConfig({ ...base, ...value })
    await t.notThrowsAsync(check, `${page}\n${code}`)
  }
})

test('Python compiles', async (t) => {
  for (const { page, code } of blocksOf('python'))
    await t.notThrowsAsync(
      promisify(execFile)('python3', ['-c', 'import sys; compile(sys.argv[1], "page", "exec")', code]),
      page,
    )
})

test('commands and their options exist', async (t) => {
  const helps = new Map<string, string>()
  const helpOf = async (name: string) => {
    if (!helps.has(name)) helps.set(name, (await runCli([name, '--help'])).stdout)
    return helps.get(name)!
  }
  const scripts = JSON.parse(readFileSync(join(repositoryDir, 'package.json'), 'utf8')).scripts as Record<
    string,
    string
  >
  for (const { page, code } of blocksOf('sh')) {
    for (const [line, name, rest] of code.matchAll(/npx magrpo ([a-z]+)([^|;#\n]*)/g)) {
      const help = await helpOf(name!)
      t.true(help.startsWith(`Usage: magrpo ${name}`), `${page}: ${line}`)
      for (const [, option] of rest!.matchAll(/(?<=\s)(--?[a-z][a-z-]*)/g))
        t.regex(help, new RegExp(`^ +(-\\w, )?${option}\\b`, 'm'), `${page}: ${line}`)
    }
    for (const [line, name] of code.matchAll(/npm (?:run )?([a-z]+(?::[a-z]+)?)/g))
      t.true(name === 'install' || name! in scripts, `${page}: ${line}`)
  }
})

test('every error code has its paragraph', (t) => {
  const page = readFileSync(join(repositoryDir, 'docs/reference/errors.md'), 'utf8')
  const headings = [...page.matchAll(/^### (ERR_\w+)\n\S/gm)].map(([, code]) => code!)
  t.deepEqual(headings.sort(), [...errorCodes].sort())
})

test('the tutorial is the example, and its agents come to agree', async (t) => {
  const example = readFileSync(join(repositoryDir, 'examples/same-idea.ts'), 'utf8')
  const [block] = blocksOf('ts').filter(({ page }) => page === 'docs/tutorial.md') as { page: string; code: string }[]
  t.is(block!.code, example)
  t.true(example.trim().split('\n').length <= 35)
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [`--import=${import.meta.resolve('tsx')}`, 'examples/same-idea.ts'],
    {
      cwd: repositoryDir,
    },
  )
  const rewards = stdout
    .trim()
    .split('\n')
    .map((line) => Number(line.split(' ')[1]))
  t.is(rewards.length, 20)
  t.true(rewards[0]! < 0.5 && rewards.at(-1)! > 0.9, stdout)
})
