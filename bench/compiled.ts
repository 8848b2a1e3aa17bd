/** Our side of the trials as plain JavaScript over `dist/`: users run no TypeScript loader, which takes 40 MB and its time. */
import { execFile } from 'node:child_process'
import { rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const here = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)

/**
 * Compiles the addon, `lib/` and `bench/ours`, and returns the file to start.
 *
 * @param root the checkout; this one by default
 */
export async function compileOurs(root = here): Promise<string> {
  const options = { cwd: root }
  await run(process.execPath, ['scripts/setup.mjs', '--quiet', '--only', 'addon,typescript'], options)
  const out = join(root, 'build/bench')
  await rm(out, { recursive: true, force: true })
  await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'bench/ours'], options)
  // What they import as ../../lib is to be what users load.
  await rm(join(out, 'lib'), { recursive: true })
  await symlink(join(root, 'dist'), join(out, 'lib'))
  return join(out, 'bench/ours/worker.js')
}
