/** TypeDoc, which reads the docstrings: kept in the cache, since it needs a TypeScript of its own (the package's has no API for it). */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { cacheFolder } from '../libtorch.mjs'
import { lastLines, packageRoot, runLong, SetupError } from '../setup/common.mjs'

const packages = { typedoc: '0.28.20', 'typedoc-plugin-markdown': '4.14.1', typescript: '5.9.3' }

/** @returns {Promise<string>} the folder that TypeDoc is installed in; made where it is missing */
export async function ensureTools(env = process.env) {
  const folder = path.join(cacheFolder(env), `docs-tools-${packages.typedoc}`)
  if (existsSync(path.join(folder, 'node_modules', '.package-lock.json'))) return folder
  mkdirSync(folder, { recursive: true })
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify({ private: true, dependencies: packages }))
  const { ok, output } = await runLong('npm', ['install', '--no-audit', '--no-fund', '--prefix', folder], { env })
  if (!ok) throw new SetupError(`npm could not install TypeDoc:\n${lastLines(output, 8)}`)
  return folder
}

/**
 * Writes the reference of all public names.
 *
 * @param {string} folder where `api.md` goes
 * @throws {SetupError} a public name without docstring, a type that is named but not public, a link that leads nowhere
 */
export async function runTypeDoc(folder, env = process.env) {
  const tools = await ensureTools(env)
  const args = [
    path.join(tools, 'node_modules/typedoc/bin/typedoc'),
    ...['--options', path.join(packageRoot, 'scripts/docs/typedoc.json')],
    ...['--plugin', path.join(tools, 'node_modules/typedoc-plugin-markdown/dist/index.js')],
    ...['--entryPoints', path.join(packageRoot, 'lib/index.ts'), '--tsconfig', path.join(packageRoot, 'tsconfig.json')],
    ...['--out', folder],
  ]
  const { ok, output } = await runLong(process.execPath, args, { env })
  if (!ok) throw new SetupError(`TypeDoc found:\n${output}`)
}
