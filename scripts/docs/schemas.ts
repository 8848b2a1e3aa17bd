/**
 * Writes what the package has of the configuration's schemas: `schemas/run.json` and `schemas/compare.json` for editors, and
 * `docs/reference/config.md` for people; part of `npm pack`.
 *
 *     node --import=tsx scripts/docs/schemas.ts
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { configPage } from './config-page.ts'
import { type ConfigSchemas, configSchemas } from './json-schemas.ts'

/** The schemas. @throws Error naming the keys that nothing describes */
export function describedSchemas(): ConfigSchemas {
  const schemas = configSchemas()
  if (schemas.undescribed.length > 0) throw new Error(`without description: ${schemas.undescribed.join(', ')}`)
  return schemas
}

/** Writes the schemas into `schemas/` of a folder. @returns their paths in it */
export async function writeSchemas(folder: string, { run, compare }: ConfigSchemas): Promise<string[]> {
  await mkdir(join(folder, 'schemas'), { recursive: true })
  for (const [name, schema] of Object.entries({ run, compare }))
    await writeFile(join(folder, 'schemas', `${name}.json`), `${JSON.stringify(schema, null, 2)}\n`)
  return ['schemas/run.json', 'schemas/compare.json']
}

/** Writes the configuration reference into a folder of documentation. */
export async function writeConfigPage(docs: string, { run, compare }: ConfigSchemas): Promise<void> {
  await mkdir(join(docs, 'reference'), { recursive: true })
  await writeFile(join(docs, 'reference/config.md'), configPage(run, compare))
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const schemas = describedSchemas()
  await writeSchemas(root, schemas)
  await writeConfigPage(join(root, 'docs'), schemas)
}
