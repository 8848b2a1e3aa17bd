import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { packageDir } from './package-dir.ts'

/** Version of this package. */
export async function packageVersion(): Promise<string> {
  const text = await readFile(join(packageDir, 'package.json'), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
