/**
 * Writes the generated pages of the documentation: the API reference from the docstrings, the configuration reference from the schemas
 * that configurations are checked with.
 *
 *     npm run docs
 */
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { configPage } from './config-page.ts'
import { withTypeDoc } from './docstrings.ts'
import { describedSchemas } from './schemas.ts'

/** The pages that this program writes, in `docs/`. They are not in the repository. */
export const generatedPages = ['reference/api.md', 'reference/config.md'] as const

/** Writes the generated pages into a folder of documentation. */
export async function generate(folder: string): Promise<void> {
  await mkdir(join(folder, 'reference'), { recursive: true })
  const { run, compare } = await describedSchemas()
  await writeFile(join(folder, 'reference/config.md'), configPage(run, compare))
  await withTypeDoc((work) => copyFile(join(work, 'api.md'), join(folder, 'reference/api.md')))
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await generate(fileURLToPath(new URL('../../docs', import.meta.url)))
  for (const name of generatedPages) console.log(`docs/${name}`)
}
