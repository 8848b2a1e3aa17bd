/** ARCHITECTURE.md and CONTRIBUTING.md name files that exist. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { repositoryDir } from '../support/fixtures.ts'

/** Paths that a page names, without those that stand for the reader's own files. */
const pathsOf = (page: string) =>
  [...readFileSync(join(repositoryDir, page), 'utf8').matchAll(/\b(?:lib|native|python|scripts|test)\/[\w./-]*\w/g)]
    .map(([path]) => path)
    .filter((path) => !path.includes('NAME'))

// Becomes a plain test as soon as the files have moved to where the pages say.
const missing = (page: string) => pathsOf(page).filter((path) => !existsSync(join(repositoryDir, path)))

test('ARCHITECTURE.md names files that exist', (t) => {
  t.true(pathsOf('ARCHITECTURE.md').length >= 40)
  t.deepEqual(missing('ARCHITECTURE.md'), [])
})

test('CONTRIBUTING.md names files that exist', (t) => {
  t.true(pathsOf('CONTRIBUTING.md').length >= 10)
  t.deepEqual(missing('CONTRIBUTING.md'), [])
})
