/** The C++ core, and its addon in Node, under the sanitizers of the compiler. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { importScript, root } from '../setup/stand-ins.ts'
import { skipBecause } from '../support/skip.ts'

interface NativeScript {
  buildNativeTests(options: BuildOptions): Promise<string[]>
  buildSanitizedAddon(options: BuildOptions): Promise<string>
  preloadedLibraries(): string | null
}
interface BuildOptions {
  root: string
  env: NodeJS.ProcessEnv
  log(line: string): void
}
interface TapScript {
  parseSummary(line: string): { passed: number; failed: number } | null
}
const { buildNativeTests, buildSanitizedAddon, preloadedLibraries } =
  await importScript<NativeScript>('test/native.mjs')
const { parseSummary } = await importScript<TapScript>('test/tap.mjs')

const hour = 3_600_000
const suppressions = path.join(root, 'native/test/thread.supp')
const options = (sanitizers: string): BuildOptions => ({
  root,
  env: { ...process.env, MAGRPO_SANITIZE: sanitizers },
  log: () => {},
})

/** How long `work` took, in whole seconds, beside what it gave. */
async function timed<T>(work: Promise<T>): Promise<{ value: T; seconds: number }> {
  const start = performance.now()
  const value = await work
  return { value, seconds: Math.round((performance.now() - start) / 1000) }
}

/** A program that ends with `N passed, N failed`: no sanitizer has anything to say, and no part of it failed. */
async function runClean(t: ExecutionContext, command: string, args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const { value, seconds } = await timed(once(child, 'close'))
  const [code, signal] = value as [number | null, NodeJS.Signals | null]
  t.deepEqual({ code, signal }, { code: 0, signal: null }, output)
  t.notRegex(output, /Sanitizer|runtime error:/)
  const counts = output
    .split('\n')
    .map(parseSummary)
    .find((summary) => summary !== null)
  t.is(counts?.failed, 0, output)
  t.log(`${counts?.passed} passed in ${seconds} s`)
}

test.serial('address, undefined and leaks: all C++ tests', async (t) => {
  t.timeout(2 * hour)
  const {
    value: [program],
    seconds,
  } = await timed(buildNativeTests(options('address,undefined')))
  t.log(`built in ${seconds} s`)
  await runClean(t, program!, [], { ASAN_OPTIONS: 'detect_leaks=1', UBSAN_OPTIONS: 'print_stacktrace=1' })
})

test.serial('thread: the C++ tests of what runs threads of its own', async (t) => {
  t.timeout(hour)
  const {
    value: [program],
    seconds,
  } = await timed(buildNativeTests(options('thread')))
  t.log(`built in ${seconds} s`)
  await runClean(t, program!, [], { TSAN_OPTIONS: `halt_on_error=1 suppressions=${suppressions}` })
})

// Without leaks: Node and libtorch leave much to the end of the process. The program counts the core's own objects instead.
test.serial(
  'address and undefined, in Node: work that is aborted, disposed of and ended with its thread',
  async (t) => {
    t.timeout(2 * hour)
    const libraries = preloadedLibraries()
    if (libraries === null) return skipBecause(t, 'the compiler does not tell where its libasan and libubsan are')
    const { value: addon, seconds } = await timed(buildSanitizedAddon(options('address,undefined')))
    t.log(`built in ${seconds} s`)
    await runClean(t, process.execPath, ['--import=tsx', path.join('test', 'support', 'cut-short.ts')], {
      LD_PRELOAD: libraries,
      MAGRPO_TEST_ADDON: addon,
      ASAN_OPTIONS: 'detect_leaks=0',
      UBSAN_OPTIONS: 'print_stacktrace=1',
    })
  },
)
