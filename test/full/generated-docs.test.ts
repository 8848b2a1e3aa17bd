/** `npm run docs` makes the references: every public name has a docstring, every key of a configuration a description, code is right. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { parse } from 'yaml'
import { resolveConfig } from '../../lib/config/load.ts'
import { taskNames } from '../../lib/tasks/names.ts'
import { generate, generatedPages } from '../../scripts/docs/main.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { typeErrorsOf } from '../support/type-errors.ts'

const blocksOf = (text: string, language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => code!)

// Docstrings leave out imports, and what stands for the reader's own.
const given = {
  item: 'CodeItem',
  sandbox: 'PythonSandbox',
  team: 'Team',
  task: 'Task',
  optimizer: 'OptimizerOptions',
  options: 'TrainOptions',
}

function wholeModule(code: string, names: readonly string[]): string {
  const used = names.filter((name) => new RegExp(`\\b${name}\\b`).test(code))
  const own = Object.entries(given).filter(([name]) => !new RegExp(`(const|using) ${name}\\b`).test(code))
  const declared = own.map(([name, type]) => `declare const ${name}: import('magrpo').${type}\n`).join('')
  return `import { ${used.join(', ')} } from 'magrpo'\n${declared}${code}`
}

test('the references are made, and the code in them is right', async (t) => {
  const folder = await temporaryFolder(t)
  await generate(folder)
  const [api, config] = await Promise.all(generatedPages.map((name) => readFile(join(folder, name), 'utf8')))

  const names = Object.keys(await import('../../lib/index.ts'))
  for (const name of names) t.regex(api!, new RegExp(`^### (\`abstract\` )?${name}\\b`, 'm'), name)
  const examples = blocksOf(api!, 'ts').map((code) => wholeModule(code, names))
  t.true(examples.length >= 10)
  t.deepEqual(await typeErrorsOf(examples), [])
  // An interface that follows from a schema has its descriptions and defaults.
  t.regex(api!, /`heldOut\?` \| `number` \| Number of held-out openings\. Defaults to `200`\./)

  for (const code of blocksOf(config!, 'yaml')) t.notThrows(() => resolveConfig(parse(code)))
  for (const name of taskNames) t.regex(config!, new RegExp(`^#### ${name}: \\w`, 'm'))
  const rows = config!.split('\n').filter((line) => line.startsWith('| `'))
  t.true(rows.length > 200)
  t.deepEqual(
    rows.filter((row) => /\|\s*\|$/.test(row)),
    [],
    'every key has a meaning',
  )
})
