/** What a package of this checkout holds, by `npm pack`: what its pages lead to, and nothing that makes an installer compile. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { repositoryDir } from '../support/fixtures.ts'

const read = (path: string) => readFileSync(join(repositoryDir, path), 'utf8')

/** Written by `prepack`, which is left out here. */
const prepacked = ['docs/reference/config.md']

async function packedFiles(): Promise<string[]> {
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const { stdout } = await promisify(execFile)('npm', args, { cwd: repositoryDir, maxBuffer: 1e8 })
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
  return [...files.map(({ path }) => path), ...prepacked]
}

test('every page, and every file that a page or a comment of an example names, is in the package', async (t) => {
  const files = new Set(await packedFiles())
  const holds = (path: string) => files.has(path) || [...files].some((file) => file.startsWith(join(path, '/')))
  const pages = [...files].filter((file) => file.endsWith('.md') && !prepacked.includes(file))
  t.true(pages.includes('README.md') && pages.includes('docs/first-hour.md'))
  for (const page of pages)
    for (const [, target] of read(page).matchAll(/\]\((?!https?:)([^)#]+)/g))
      t.true(holds(normalize(join(dirname(page), target!))), `${page}: ${target}`)
  const examples = [...files].filter((file) => file.startsWith('examples/'))
  t.true(examples.length > 30)
  for (const name of [...examples, 'README.md']) {
    t.notRegex(read(name), /(^|[\s"'`(])\.\.\/\w/m, `${name} names a place outside the package`)
    for (const [path] of read(name).matchAll(/\b(examples|scripts|docs|models)\/[\w./-]*\w/g))
      t.true(holds(path), `${name}: ${path}`)
  }
})

test('no installer finds anything to compile', async (t) => {
  // yarn 1 and pnpm build whatever has this file, whether or not package.json says "gypfile": false.
  t.false((await packedFiles()).some((file) => file.endsWith('.gyp')))
  const { scripts, gypfile } = JSON.parse(read('package.json')) as { scripts: object; gypfile: boolean }
  t.false(gypfile)
  for (const name of ['preinstall', 'install', 'postinstall', 'prepare']) t.false(name in scripts, name)
})

test('the registry can show where it comes from', (t) => {
  const { repository, homepage, bugs, keywords } = JSON.parse(read('package.json'))
  for (const url of [repository.url, homepage, bugs]) t.regex(url, /github\.com\/magrpo\/magrpo/)
  t.true(keywords.length > 4)
})
