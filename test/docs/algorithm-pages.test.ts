import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { resolveConfig } from '../../lib/config/load.ts'
import { algorithmNames, algorithmOf } from '../../lib/rl/algorithms/registry.ts'
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

test('every algorithm has a page', (t) => {
  for (const name of algorithmNames) t.true(pages.includes(`${name}.md`), name)
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
