#!/usr/bin/env node
/**
 * `npm test`: set-up, the C++ test program, then ava. `--full` runs what takes longer instead, the files of test/full.
 * Further arguments are test files or folders to run instead of all. The last line is `N passed, N failed`; one
 * before it counts the tests that could not run.
 */
import { spawn } from 'node:child_process'
import { existsSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { parseArgs } from 'node:util'
import { ensureChromium } from './chromium.mjs'
import { build, buildFolder } from './setup/addon.mjs'
import { capture, listFiles, packageRoot as root, SetupError } from './setup/common.mjs'
import { withLock } from './setup/lock.mjs'
import { main as setup } from './setup.mjs'
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
  try {
    // One ninja at a time in a build folder.
    await withLock({ root, log }, () => buildNativeTests(log))
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    return fail(`the C++ test program could not be built\n${error.message}`)
  }
  let counts = null
  const problem = await run(path.join(buildFolder(root, process.env), 'magrpo_test'), [], (line) => {
    const summary = parseSummary(line)
    if (summary === null) print(line)
    else counts = summary
  })
  // A program that counts nothing is one test: its exit code.
  add(counts ?? { passed: problem === null ? 1 : 0 })
  if (problem !== null && !counts?.failed) fail(`the C++ test program ended with ${problem}`)
}

async function buildNativeTests(log) {
  const folder = buildFolder(root, process.env)
  const cache = path.join(folder, 'CMakeCache.txt')
  if (!/^MAGRPO_TESTS:BOOL=ON$/m.test(existsSync(cache) ? readFileSync(cache, 'utf8') : '')) {
    const { ok, stderr } = capture('cmake', ['-DMAGRPO_TESTS=ON', folder])
    if (!ok) throw new SetupError(stderr)
  }
  await build({ root, env: process.env, target: 'magrpo_test', log })
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

function testFiles({ full, chosen }) {
  const isTest = (file) => file.endsWith('.test.ts')
  if (chosen.length > 0) {
    return chosen
      .flatMap((name) => (statSync(path.join(root, name)).isDirectory() ? listFiles(root, name) : [name]))
      .filter(isTest)
  }
  const inFull = (file) => file.startsWith(path.join('test', 'full') + path.sep)
  return listFiles(root, 'test').filter((file) => isTest(file) && inFull(file) === full)
}

async function runAva(files) {
  if (files.length === 0) return
  print('\nTests')
  const { counts, feed } = tapReader(print)
  const problem = await run(process.execPath, ['node_modules/ava/entrypoints/cli.mjs', '--tap', ...files], feed)
  add(counts)
  if (problem !== null && counts.failed === 0) fail(`ava ended with ${problem}`)
}

const { values, positionals } = parseArgs({
  options: { full: { type: 'boolean', default: false } },
  allowPositionals: true,
})
if ((await setup([])) === 0) {
  if (!values.full && positionals.length === 0) await runNativeTests()
  if (values.full) await prepareChromium()
  await runAva(testFiles({ full: values.full, chosen: positionals }))
} else {
  fail('set-up did not finish; its message is above')
}
print('')
for (const line of summaryLines(total)) print(line)
process.exitCode = total.failed > 0 ? 1 : 0
