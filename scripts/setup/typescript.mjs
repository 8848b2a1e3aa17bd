/** Step 6 (in a clone): lib/ compiled to dist/, when it changed. */
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fingerprint, listFiles, readJson, runLong, SetupError, writeJson } from './common.mjs'

const stampFile = (root) => path.join(root, 'dist/.setup.json')

/** @returns {string} changes when a file of lib/ or a setting of the compiler does */
export function typescriptInputs(root) {
  const files = [...listFiles(root, 'lib'), 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json']
  return fingerprint(root, files)
}

/** @returns {boolean} whether dist/ is up to date */
export function isCompiled(root, inputs) {
  return readJson(stampFile(root))?.inputs === inputs && existsSync(path.join(root, 'dist'))
}

/**
 * @returns {Promise<string | null>} what was done; null if dist/ was up to date
 * @throws {SetupError} with the compiler's messages; dist/ is then left as it was
 */
export async function ensureTypescript({ root, env = process.env }) {
  const inputs = typescriptInputs(root)
  if (isCompiled(root, inputs)) return null
  const fresh = path.join(root, 'build', `dist-${process.pid}`)
  try {
    const tsc = compilerOf(root)
    const args = [tsc, '-p', 'tsconfig.build.json', '--outDir', fresh]
    const { ok, output } = await runLong(process.execPath, args, { cwd: root, env })
    if (!ok) throw new SetupError(`TypeScript found errors:\n${output.trimEnd()}`)
    copyAssets(root, fresh)
    writeJson(path.join(fresh, path.basename(stampFile(root))), { inputs })
    rmSync(path.join(root, 'dist'), { recursive: true, force: true })
    renameSync(fresh, path.join(root, 'dist'))
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
  return 'compiled lib/ to dist/'
}

function compilerOf(root) {
  try {
    const manifest = createRequire(path.join(root, 'package.json')).resolve('typescript/package.json')
    return path.join(path.dirname(manifest), 'bin/tsc')
  } catch {
    throw new SetupError('The node module typescript is missing. Run: npm run setup')
  }
}

// Python scripts and the like that lie beside the modules which use them.
function copyAssets(root, target) {
  for (const file of listFiles(root, 'lib').filter((name) => !name.endsWith('.ts'))) {
    const copy = path.join(target, path.relative('lib', file))
    mkdirSync(path.dirname(copy), { recursive: true })
    copyFileSync(path.join(root, file), copy)
  }
}
