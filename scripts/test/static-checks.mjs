/** The checks of `npm test` that run no product code: lint, types and layout. Each counts as one test. */
import path from 'node:path'
import { formatCpp } from '../clang-format.mjs'
import { runLong, SetupError } from '../setup/common.mjs'

const nodeTool = (root, file, args) =>
  runLong(process.execPath, [path.join(root, 'node_modules', file), ...args], { cwd: root })

const checks = [
  { title: 'lint and layout: biome check', run: (root) => nodeTool(root, '@biomejs/biome/bin/biome', ['check']) },
  {
    title: 'types: tsc --noEmit',
    run: (root) => nodeTool(root, 'typescript/bin/tsc', ['--noEmit', '-p', 'tsconfig.json']),
  },
  { title: 'layout of the C++ files: clang-format', run: (root, log) => formatCpp({ root, log }) },
]

/**
 * Runs the checks one after another.
 *
 * @param {{ root: string, print: (line: string) => void, list?: typeof checks }} options
 * @returns {Promise<import('./tap.mjs').Counts>} a check whose tool cannot be installed is skipped, with the reason
 */
export async function runStaticChecks({ root, print, list = checks }) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  for (const { title, run } of list) {
    try {
      const { ok, output } = await run(root, print)
      counts[ok ? 'passed' : 'failed'] += 1
      print(`${ok ? '  ok  ' : 'FAILED'} ${title}`)
      if (!ok) for (const line of output.trimEnd().split('\n')) print(`    ${line}`)
    } catch (error) {
      if (!(error instanceof SetupError)) throw error
      counts.skipped += 1
      print(` skip  ${title}`)
      for (const line of error.message.split('\n')) print(`    ${line}`)
    }
  }
  return counts
}
