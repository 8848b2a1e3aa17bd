/** Step 1: is this a machine magrpo is built for? */
import { SetupError } from './common.mjs'

/** Oldest C library the PyTorch wheels run on. */
const oldestGlibc = '2.28'
const oldestNode = [20, 19]

/**
 * @typedef {object} Host
 * @property {string} platform as `process.platform`
 * @property {string} arch as `process.arch`
 * @property {string | null} glibc its version; null where the C library is another one
 * @property {string} node version, without the `v`
 */

/** @returns {Host} the machine this runs on */
export function thisHost() {
  process.report.excludeNetwork = true // resolving the network's names can take seconds
  const glibc = process.platform === 'linux' ? process.report.getReport().header.glibcVersionRuntime : undefined
  return { platform: process.platform, arch: process.arch, glibc: glibc ?? null, node: process.versions.node }
}

/**
 * @param {Host} host
 * @returns {string} what it is and how well it is supported
 * @throws {SetupError} magrpo does not run there
 */
export function checkPlatform(host) {
  const [major, minor] = host.node.split('.').map(Number)
  if (major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1])) {
    throw new SetupError(
      `magrpo needs Node ${oldestNode.join('.')} or newer but this is ${host.node}. Install a newer Node.`,
    )
  }
  const name = `${host.platform} ${host.arch}`
  if (host.platform === 'darwin') return `${name}: builds from the same files, but is untested`
  if (host.platform !== 'linux' || !['x64', 'arm64'].includes(host.arch)) {
    throw new SetupError(
      `magrpo supports Linux on x86-64 (and, untested, Linux on arm64 and macOS) but this is ${name}. ` +
        'Use such a machine, a container, or WSL on Windows.',
    )
  }
  if (host.glibc === null) {
    throw new SetupError(
      'magrpo needs glibc, as PyTorch does, but this Linux has another C library (musl?). ' +
        'Use a Debian, Ubuntu or Fedora image rather than Alpine.',
    )
  }
  if (host.glibc.localeCompare(oldestGlibc, 'en', { numeric: true }) < 0) {
    throw new SetupError(
      `magrpo needs glibc ${oldestGlibc} or newer but found ${host.glibc}. ` +
        'Use Debian 10, Ubuntu 18.10, RHEL 8 or anything newer.',
    )
  }
  return `${name}, glibc ${host.glibc}: ${host.arch === 'x64' ? 'supported' : 'builds from the same files, but is untested'}`
}
