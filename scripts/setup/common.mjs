/** What the set-up steps share: their error, running programs, and telling whether something changed. */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** The package's folder: a clone, or `node_modules/magrpo`. */
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')

/** A step cannot be done; the message ends with what the user can do about it. */
export class SetupError extends Error {
  name = 'SetupError'
  code = 'ERR_SETUP'
}

/**
 * @param {string} command name of a program
 * @param {Record<string, string | undefined>} env its `PATH` is searched
 * @returns {string | null} path of the program, null if there is none
 */
export function which(command, env = process.env) {
  if (command.includes('/')) return isExecutable(command) ? command : null
  for (const folder of (env.PATH ?? '').split(path.delimiter)) {
    const candidate = path.join(folder || '.', command)
    if (isExecutable(candidate)) return candidate
  }
  return null
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

/**
 * Runs a program to its end without showing anything.
 *
 * @returns {{ ok: boolean, stdout: string, stderr: string }} `ok` is false also where the program is missing
 */
export function capture(command, args, { env = process.env, cwd } = {}) {
  const result = spawnSync(command, args, { env, cwd, encoding: 'utf8', maxBuffer: 64 * 2 ** 20 })
  return { ok: result.status === 0, stdout: result.stdout ?? '', stderr: result.stderr ?? String(result.error ?? '') }
}

/**
 * Runs a program that may take long; each line it writes goes to `onLine`.
 *
 * @returns {Promise<{ ok: boolean, output: string }>} everything written to stdout and stderr, in order of arrival
 */
export function runLong(command, args, { env = process.env, cwd, onLine = () => {} } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { env, cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      let rest = ''
      stream.setEncoding('utf8')
      stream.on('data', (chunk) => {
        output += chunk
        const lines = (rest + chunk).split(/\r?\n/)
        rest = lines.pop() ?? ''
        for (const line of lines) onLine(line)
      })
    }
    child.on('error', (error) => resolve({ ok: false, output: `${output}${error.message}\n` }))
    child.on('close', (code) => resolve({ ok: code === 0, output }))
  })
}

/** Last `count` lines of a program's output, for a message. */
export function lastLines(output, count) {
  return output.trimEnd().split('\n').slice(-count).join('\n')
}

/**
 * Paths of all files below a folder, relative to `root` and sorted; hidden files, `__pycache__` and what `skip` names are
 * left out.
 */
export function listFiles(root, folder, skip = () => false) {
  const found = []
  const visit = (relative) => {
    let entries
    try {
      entries = readdirSync(path.join(root, relative), { withFileTypes: true })
    } catch (error) {
      if (error.code === 'ENOENT') return
      throw error
    }
    for (const entry of entries) {
      const name = path.join(relative, entry.name)
      if (entry.name.startsWith('.') || entry.name === '__pycache__' || skip(name)) continue
      if (entry.isDirectory()) visit(name)
      else found.push(name)
    }
  }
  visit(folder)
  return found.sort()
}

/**
 * @param {string[]} files relative to `root`; a missing one counts as such
 * @param {unknown} facts anything else the result depends on
 * @returns {string} changes exactly when a file's name or content, or a fact, changes
 */
export function fingerprint(root, files, facts = null) {
  const hash = createHash('sha256').update(JSON.stringify(facts))
  for (const file of files) {
    hash.update(`\0${file}\0`)
    try {
      hash.update(readFileSync(path.join(root, file)))
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
      hash.update('(missing)')
    }
  }
  return hash.digest('hex')
}

/** @returns {any} parsed content of a JSON file, null if there is none or it is broken */
export function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

/** Writes `value` as JSON, with the folders above it. */
export function writeJson(file, value) {
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)
}
