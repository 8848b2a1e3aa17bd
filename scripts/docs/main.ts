/**
 * Writes the generated pages of the documentation: the API reference from the docstrings, the configuration reference from the schemas
 * that configurations are checked with.
 *
 *     npm run docs
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { describedSchemas, writeConfigPage } from './schemas.ts'

/** The pages that this program writes, in `docs/`. They are not in the repository. */
export const generatedPages = ['reference/api.md', 'reference/config.md'] as const

/** Writes the generated pages into a folder of documentation. */
export async function generate(folder: string): Promise<void> {
  await writeConfigPage(folder, describedSchemas())
  const { runTypeDoc } = await import(new URL('tools.mjs', import.meta.url).href)
  const work = await mkdtemp(join(tmpdir(), 'magrpo-docs-'))
  try {
    await runTypeDoc(work)
    await copyFile(join(work, 'api.md'), join(folder, 'reference/api.md'))
  } finally {
    await rm(work, { recursive: true })
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await generate(fileURLToPath(new URL('../../docs', import.meta.url)))
  for (const name of generatedPages) console.log(`docs/${name}`)
}
