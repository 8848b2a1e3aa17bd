/**
 * Writes the generated pages of the documentation: the API reference from the docstrings, the configuration reference and the JSON
 * Schemas from the schemas that configurations are checked with.
 *
 *     npm run docs
 */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { configPage } from './config-page.ts'
import { Docstrings } from './docstrings.ts'
import { compareJsonSchema, runJsonSchema } from './json-schemas.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Writes all generated files under `folder`, at the paths they have in the repository. */
export async function generate(folder: string): Promise<string[]> {
  const { readDocstrings } = await import(new URL('tools.mjs', import.meta.url).href)
  const work = await mkdtemp(join(tmpdir(), 'magrpo-docs-'))
  try {
    await readDocstrings(work)
    const docstrings = new Docstrings(JSON.parse(await readFile(join(work, 'api.json'), 'utf8')))
    const json = (value: unknown) => `${JSON.stringify(value, null, 2)}\n`
    const runSchema = runJsonSchema(docstrings)
    const compareSchema = compareJsonSchema(docstrings)
    const texts = {
      'docs/reference/config.md': configPage(runSchema, compareSchema),
      'schemas/run.json': json(runSchema),
      'schemas/compare.json': json(compareSchema),
    }
    const api = 'docs/reference/api.md'
    for (const name of [...Object.keys(texts), api]) await mkdir(dirname(join(folder, name)), { recursive: true })
    for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text)
    await copyFile(join(work, 'api.md'), join(folder, api))
    return [...Object.keys(texts), api]
  } finally {
    await rm(work, { recursive: true })
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  for (const name of await generate(root)) console.log(name)
}
