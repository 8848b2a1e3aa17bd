#!/usr/bin/env node
/**
 * `npm test`: set-up, static checks, the C++ test program, then ava. `--full` runs the slower files of test/full instead, `--weekly`
 * the slowest, those of test/weekly. Further arguments are test files or folders to run instead of all. The last line is
 * `N passed, N failed`; one before it counts the tests that could not run.
 */
import { spawn } from 'node:child_process'
import { statSync } from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { parseArgs } from 'node:util'
import { ensureChromium } from './chromium.mjs'
import { listFiles, packageRoot as root, SetupError } from './setup/common.mjs'
import { main as setup } from './setup.mjs'
import { buildNativeTests } from './test/native.mjs'
import { runStaticChecks } from './test/static-checks.mjs'
import { parseSummary, summaryLines, tapReader } from './test/tap.mjs'

const print = (line) => process.stdout.write(`${line}\n`)
const total = { passed: 0, failed: 0, skipped: 0 }

function add(counts) {
  for (const kind of Object.keys(counts)) total[kind] += counts[kind]
}

function fail(text) {
  print(`FAILED ${text}`)
  add({ failed: 1 })
}

// Runs a program; its stdout goes line by line to `onLine`, its stderr to ours.
function run(command, args, onLine) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
    readline.createInterface({ input: child.stdout }).on('line', onLine)
    child.on('error', (error) => resolve(error.message))
    child.on('close', (code, signal) => resolve(code === 0 ? null : `exit code ${code ?? signal}`))
  })
}

async function runNativeTests() {
  if (listFiles(root, 'native/test').every((file) => !file.endsWith('.cc'))) return
  print('\nC++ tests')
  const log = (line) => process.stderr.write(`  ${line}\n`)
  let programs
  try {
    programs = await buildNativeTests({ root, log })
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    return fail(`the C++ test programs could not be built\n${error.message}`)
  }
  for (const program of programs) {
    let counts = null
    const problem = await run(program, [], (line) => {
      const summary = parseSummary(line)
      if (summary === null) print(line)
      else counts = summary
    })
    // A program that counts nothing is one test: its exit code.
    add(counts ?? { passed: problem === null ? 1 : 0 })
    if (problem !== null && !counts?.failed) fail(`${program} ended with ${problem}`)
  }
}

// Before the tests: two of them would get in each other's way installing it. Without it theirs are skipped.
async function prepareChromium() {
  try {
    await ensureChromium({ log: print })
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    print(error.message)
  }
}

// Folders of slower tests, each with its own command.
const slowFolders = { full: path.join('test', 'full'), weekly: path.join('test', 'weekly') }

function testFiles({ tier, chosen }) {
  const isTest = (file) => file.endsWith('.test.ts')
  if (chosen.length > 0) {
    return chosen
      .flatMap((name) => (statSync(path.join(root, name)).isDirectory() ? listFiles(root, name) : [name]))
      .filter(isTest)
  }
  const isIn = (folder, file) => file.startsWith(folder + path.sep)
  const files = listFiles(root, 'test').filter(isTest)
  return tier === null
    ? files.filter((file) => !Object.values(slowFolders).some((folder) => isIn(folder, file)))
    : files.filter((file) => isIn(slowFolders[tier], file))
}

async function runAva(files) {
  if (files.length === 0) return print('\nNo tests to run')
  print('\nTests')
  const { counts, feed, isWhole } = tapReader(print)
  const problem = await run(process.execPath, ['node_modules/ava/entrypoints/cli.mjs', '--tap', ...files], feed)
  add(counts)
  if (!isWhole()) fail(`ava ended before all tests did (${problem ?? 'without an error'}): tests are missing above`)
  else if (problem !== null && counts.failed === 0) fail(`ava ended with ${problem}`)
}

async function main() {
  const { values, positionals: chosen } = parseArgs({
    options: { full: { type: 'boolean' }, weekly: { type: 'boolean' } },
    allowPositionals: true,
  })
  const tier = Object.keys(slowFolders).find((name) => values[name]) ?? null
  if ((await setup([])) !== 0) return fail('set-up did not finish; its message is above')
  if (tier === null && chosen.length === 0) {
    print('\nStatic checks')
    add(await runStaticChecks({ root, print }))
    await runNativeTests()
  }
  if (tier !== null) await prepareChromium()
  await runAva(testFiles({ tier, chosen }))
}

await main()
print('')
for (const line of summaryLines(total)) print(line)
process.exitCode = total.failed > 0 ? 1 : 0
