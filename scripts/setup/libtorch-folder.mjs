/** Reads what a libtorch folder is: its version and whether it is a CPU or a CUDA one. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { SetupError } from './common.mjs'

/** What is fetched when nothing that fits is there. */
export const defaultVersion = '2.13.0'
/** First and last supported minor version. */
export const supportedRange = { first: '2.11', last: '2.14' }
/** The range in words, for messages. */
export const rangeText = `${supportedRange.first} to ${supportedRange.last}`

const minorOf = (version) => {
  const [major, minor] = version.split('.').map(Number)
  return major * 1000 + minor
}

/** @returns {boolean} whether `version` (such as `2.13.0`) is one this package compiles against */
export function isSupported(version) {
  return minorOf(version) >= minorOf(supportedRange.first) && minorOf(version) <= minorOf(supportedRange.last)
}

/**
 * @typedef {object} Libtorch
 * @property {string} dir folder with `include/`, `lib/` and `share/cmake/Torch`
 * @property {string} version such as `2.13.0`
 * @property {string} variant `cpu`, or `cu` and the CUDA version without its dot (`cu130`); `cuda` where that is unknown
 */

/**
 * Looks at a folder that should hold a libtorch. The version may be outside of the supported range.
 *
 * @param {string} dir
 * @returns {Libtorch}
 * @throws {SetupError} a part is missing or the version cannot be told
 */
export function inspectLibtorch(dir) {
  const missing = ['include', 'lib', 'share/cmake/Torch'].filter((part) => !existsSync(path.join(dir, part)))
  if (missing.length > 0) {
    throw new SetupError(`Expected a libtorch in ${dir} but it has no ${missing.join(', no ')}.`)
  }
  const full = findVersion(dir)
  if (full === null) throw new SetupError(`The version of the libtorch in ${dir} cannot be told: it has no version.py.`)
  const [version, label = ''] = full.split('+')
  return { dir, version, variant: variantOf(dir, label) }
}

function read(...parts) {
  try {
    return readFileSync(path.join(...parts), 'utf8')
  } catch {
    return ''
  }
}

// A wheel has version.py, a libtorch archive build-version; a build of one's own only what CMake and the headers say.
function findVersion(dir) {
  return (
    /^__version__ = '([^']+)'/m.exec(read(dir, 'version.py'))?.[1] ??
    /^\d+\.\d+\.\S+/.exec(read(dir, 'build-version'))?.[0] ??
    /PACKAGE_VERSION "(\d+\.\d+[^"]*)"/.exec(read(dir, 'share/cmake/Torch/TorchConfigVersion.cmake'))?.[1] ??
    null
  )
}

function variantOf(dir, label) {
  const hasCudaLibrary = readdirSync(path.join(dir, 'lib')).some((name) => /^libtorch_cuda\.(so|dylib)/.test(name))
  const fromPython = /^cuda\b[^=]*= '([\d.]+)'/m.exec(read(dir, 'version.py'))?.[1]
  if (fromPython !== undefined) return `cu${fromPython.replaceAll('.', '')}`
  if (/^cu\d+$/.test(label)) return label
  return hasCudaLibrary ? 'cuda' : 'cpu'
}

/** One line about a libtorch, for people. */
export function describe({ version, variant, dir }) {
  return `${version}, ${variant === 'cpu' ? 'CPU' : `CUDA (${variant})`}, in ${dir}`
}
