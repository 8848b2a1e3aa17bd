#!/usr/bin/env node
/**
 * Checks the layout of the C++ files against `.clang-format`, or fixes it with `--write`. clang-format comes from its PyPI wheel in a
 * pinned version, as versions lay out code differently; it is kept in the cache (`~/.cache/magrpo/clang-format-VERSION`).
 */
import { existsSync, rmSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { cacheFolder } from './libtorch.mjs'
import { capture, lastLines, listFiles, packageRoot, runLong, SetupError } from './setup/common.mjs'
import { probePython } from './setup/python.mjs'

const version = '20.1.8'

/**
 * The pinned clang-format; installed first if it is missing, a download of a few megabytes.
 *
 * @param {{ env?: Record<string, string | undefined>, log?: (line: string) => void }} options
 * @returns {Promise<string>} its path
 * @throws {SetupError} there is no Python with pip, or the wheel cannot be downloaded
 */
export async function ensureClangFormat({ env = process.env, log = () => {} } = {}) {
  const folder = path.join(cacheFolder(env), `clang-format-${version}`)
  const program = path.join(folder, 'bin/clang-format')
  if (existsSync(program) && capture(program, ['--version'], { env }).stdout.includes(version)) return program
  const python = probePython(env)
  if (python === null) throw new SetupError('clang-format is installed with pip, but python3 is not on PATH.')
  log(`installing clang-format ${version} in ${folder}`)
  rmSync(folder, { recursive: true, force: true })
  const pip = ['-m', 'pip', 'install', '--only-binary', ':all:', '--disable-pip-version-check', '--retries', '1']
  for (const [command, args] of [
    [python.path, ['-m', 'venv', folder]],
    [path.join(folder, 'bin/python'), [...pip, `clang-format==${version}`]],
  ]) {
    const { ok, output } = await runLong(command, args, { env })
    if (ok) continue
    rmSync(folder, { recursive: true, force: true })
    throw new SetupError(`clang-format ${version} could not be installed:\n${lastLines(output, 2)}`)
  }
  return program
}

/** @returns {string[]} the C++ and CUDA files of a clone */
export const cppFiles = (root) => listFiles(root, 'native').filter((file) => /\.(h|cc|cu)$/.test(file))

/**
 * Checks or fixes the layout of all C++ files.
 *
 * @param {{ root?: string, env?: Record<string, string | undefined>, write?: boolean, log?: (line: string) => void }} options
 * @returns {Promise<{ ok: boolean, output: string }>}
 * @throws {SetupError} clang-format cannot be had
 */
export async function formatCpp({ root = packageRoot, env = process.env, write = false, log } = {}) {
  const program = await ensureClangFormat({ env, log })
  const mode = write ? ['-i'] : ['--dry-run', '-Werror']
  return runLong(program, [...mode, ...cppFiles(root)], { cwd: root, env })
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    const log = (line) => process.stderr.write(`${line}\n`)
    const { ok, output } = await formatCpp({ write: process.argv.includes('--write'), log })
    process.stderr.write(output)
    process.exitCode = ok ? 0 : 1
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
