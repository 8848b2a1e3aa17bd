/** The TypeScript blocks of a page of documentation, type-checked as a user's files would be. */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repositoryDir } from './fixtures.ts'

/**
 * Lines in which the compiler finds fault with the blocks; what is wrong in the rest of the project has its own check.
 *
 * @param blocks in a list, or by the names of their files
 */
export async function typeErrorsOf(blocks: Readonly<Record<string, string>> | readonly string[]): Promise<string[]> {
  // Below `build`, where modules of this package are found.
  mkdirSync(join(repositoryDir, 'build'), { recursive: true })
  const work = mkdtempSync(join(repositoryDir, 'build/docs-'))
  try {
    for (const [name, code] of Object.entries(blocks)) writeFileSync(join(work, `block-${name}.ts`), code)
    const config = {
      extends: '../../tsconfig.json',
      compilerOptions: { paths: { magrpo: ['../../lib/index.ts'] }, typeRoots: ['../../node_modules/@types'] },
      include: ['*.ts'],
    }
    writeFileSync(join(work, 'tsconfig.json'), JSON.stringify(config))
    const compiler = join(repositoryDir, 'node_modules/.bin/tsc')
    const output = await promisify(execFile)(compiler, ['--noEmit', '-p', work], { cwd: repositoryDir }).then(
      () => '',
      (error: { stdout?: string; message: string }) => error.stdout || error.message,
    )
    return output.split('\n').filter((line) => line.includes('docs-'))
  } finally {
    rmSync(work, { recursive: true })
  }
}
