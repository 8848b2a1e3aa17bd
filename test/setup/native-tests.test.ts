import path from 'node:path'
import test from 'ava'
import { importScript, makeProgram, temporaryFolder } from './stand-ins.ts'

type Env = Record<string, string>
interface AddonScript {
  sanitizersOf(env: Env): string[]
  testFolder(root: string, env: Env): string
  buildTypeOf(env: Env): string
}
interface NativeScript {
  preloadedLibraries(env: Env): string | null
}
interface ChecksScript {
  runStaticChecks(options: {
    root: string
    print(line: string): void
    list: { title: string; run(): Promise<{ ok: boolean; output: string }> }[]
  }): Promise<{ passed: number; failed: number; skipped: number }>
}
const { sanitizersOf, testFolder, buildTypeOf } = await importScript<AddonScript>('setup/addon.mjs')
const { preloadedLibraries } = await importScript<NativeScript>('test/native.mjs')
const { SetupError } = await importScript<{ SetupError: new (message: string) => Error }>('setup/common.mjs')
const { runStaticChecks } = await importScript<ChecksScript>('test/static-checks.mjs')

test('sanitizers have a build folder of their own, in any order the same', (t) => {
  const folder = (value: string) => path.relative('/x', testFolder('/x', { MAGRPO_SANITIZE: value }))
  t.is(folder(''), 'build')
  t.is(folder('address,undefined'), 'build/sanitize-address-undefined')
  t.is(folder('undefined,address'), 'build/sanitize-address-undefined')
  t.is(folder('thread'), 'build/sanitize-thread')
  for (const wrong of ['memory', 'thread,address'])
    t.throws(() => sanitizersOf({ MAGRPO_SANITIZE: wrong }), { message: /^Expected address, .* but received/ })
  t.throws(() => testFolder('/x', { MAGRPO_SANITIZE: 'thread', MAGRPO_CUDA: '1' }), { message: /Unset MAGRPO_CUDA/ })
})

test('the libraries of sanitizers are those of the compiler; one that has none has none to preload', (t) => {
  const bin = temporaryFolder(t)
  // As GCC does: the whole path of a library that is there, else the name itself.
  for (const name of ['libasan.so', 'libubsan.so', 'libstdc++.so']) makeProgram(bin, name)
  const compiler = (script: string) => ({ CXX: makeProgram(bin, 'compiler', script) })
  t.is(
    preloadedLibraries(compiler(`echo "${bin}/\${1#*=}"`)),
    `${bin}/libasan.so:${bin}/libubsan.so:${bin}/libstdc++.so`,
  )
  t.is(preloadedLibraries(compiler('echo "$(basename "$1" | cut -d= -f2)"')), null)
  t.is(preloadedLibraries(compiler(`echo "${bin}/of-another-time/\${1#*=}"`)), null)
})

test('a build is for release unless it is for a debugger', (t) => {
  t.is(buildTypeOf({}), 'Release')
  t.is(buildTypeOf({ MAGRPO_BUILD_TYPE: 'Debug' }), 'Debug')
  t.throws(() => buildTypeOf({ MAGRPO_BUILD_TYPE: 'Fast' }), { message: /but received Fast/ })
})

test('each static check counts as one test; one without its tool is skipped with the reason', async (t) => {
  const printed: string[] = []
  const list = [
    { title: 'good', run: async () => ({ ok: true, output: '' }) },
    { title: 'bad', run: async () => ({ ok: false, output: 'a.ts:1: no\n' }) },
    { title: 'apart', run: () => Promise.reject(new SetupError('no network')) },
  ]
  const counts = await runStaticChecks({ root: '/x', print: (line) => printed.push(line), list })
  t.deepEqual(counts, { passed: 1, failed: 1, skipped: 1 })
  t.deepEqual(printed, ['  ok   good', 'FAILED bad', '    a.ts:1: no', ' skip  apart', '    no network'])
})
