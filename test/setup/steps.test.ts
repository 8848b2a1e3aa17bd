import { execFile, spawn } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import type { FoundLibtorch } from '../../lib/native/setup-scripts.ts'
import { importScript, makeProgram, root, temporaryFolder } from './stand-ins.ts'

interface Inputs {
  configure: string
  sources: string
}
interface AddonScript {
  addonInputs(root: string, libtorch: FoundLibtorch, env?: NodeJS.ProcessEnv): Inputs
  addonDecision(root: string, inputs: Inputs): 'none' | 'build' | 'configure'
  stampFile(root: string): string
  parallelJobs(machine: { cores: number; memory: number }): number
  buildFailure(phase: string, output: string): string
}
const { addonInputs, addonDecision, stampFile, parallelJobs, buildFailure } =
  await importScript<AddonScript>('setup/addon.mjs')
interface ModulesScript {
  staleModules(root: string): string[]
  ensureNodeModules(options: { root: string; env: NodeJS.ProcessEnv; log(line: string): void }): Promise<string | null>
}
const { staleModules, ensureNodeModules } = await importScript<ModulesScript>('setup/node-modules.mjs')
const { ensureTypescript } = await importScript<{
  ensureTypescript(options: { root: string }): Promise<string | null>
}>('setup/typescript.mjs')

function write(folder: string, file: string, content: string): void {
  mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
  writeFileSync(path.join(folder, file), content)
}

const libtorch: FoundLibtorch = { dir: '/some/libtorch', version: '2.13.0', variant: 'cpu', rule: 'cache' }

// A package whose addon was built from its files.
function builtPackage(t: ExecutionContext): string {
  const folder = temporaryFolder(t)
  for (const file of [
    'CMakeLists.txt',
    'package.json',
    'native/core/a.cc',
    'native/core/a.h',
    'native/test/a_test.cc',
    'native/kernels/a/test.cc',
  ]) {
    write(folder, file, file)
  }
  write(folder, 'build/CMakeCache.txt', '')
  write(folder, 'build/Release/magrpo.node', '')
  writeFileSync(stampFile(folder), JSON.stringify({ ...addonInputs(folder, libtorch, {}), libtorch }))
  return folder
}

test('the addon is built again when what it is made of changes, and only then', (t) => {
  const folder = builtPackage(t)
  const decide = (found = libtorch, env = {}) => addonDecision(folder, addonInputs(folder, found, env))
  t.is(decide(), 'none')
  const later = new Date(Date.now() + 60_000)
  utimesSync(path.join(folder, 'native/core/a.cc'), later, later)
  t.is(decide(), 'none', 'a new date alone is no change')
  appendFileSync(path.join(folder, 'native/test/a_test.cc'), '// more')
  appendFileSync(path.join(folder, 'native/kernels/a/test.cc'), '// more')
  t.is(decide(), 'none', 'the addon does not hold the C++ tests')
  t.is(decide({ ...libtorch, rule: 'MAGRPO_LIBTORCH' }), 'none', 'the same libtorch, found in another way')

  t.is(decide({ ...libtorch, version: '2.14.0' }), 'configure')
  t.is(decide({ ...libtorch, dir: '/other' }), 'configure')
  t.is(decide(libtorch, { CXX: 'clang++' }), 'configure')
  makeProgram(path.join(folder, 'tools'), 'ninja')
  t.is(decide(libtorch, { PATH: path.join(folder, 'tools') }), 'configure', 'another generator')
  write(folder, 'native/core/b.h', '')
  t.is(decide(), 'build', 'a new file')
})

test('a changed source only needs compilers, changed settings need CMake', (t) => {
  const folder = builtPackage(t)
  const decide = () => addonDecision(folder, addonInputs(folder, libtorch, {}))
  appendFileSync(path.join(folder, 'native/core/a.h'), '// more')
  t.is(decide(), 'build')
  appendFileSync(path.join(folder, 'CMakeLists.txt'), '# more')
  t.is(decide(), 'configure')
})

for (const [file, decision] of [
  ['build/Release/magrpo.node', 'build'],
  ['build/CMakeCache.txt', 'configure'],
  ['build/setup.json', 'configure'],
] as const) {
  test(`a deleted ${file} is made again`, async (t) => {
    const folder = builtPackage(t)
    await promisify(execFile)('rm', [path.join(folder, file)])
    t.is(addonDecision(folder, addonInputs(folder, libtorch, {})), decision)
  })
}

test('as many compilers as cores, fewer where memory is short, never none', (t) => {
  const gigabyte = 2 ** 30
  t.is(parallelJobs({ cores: 8, memory: 64 * gigabyte }), 8)
  t.is(parallelJobs({ cores: 8, memory: 4 * gigabyte }), 3)
  t.is(parallelJobs({ cores: 8, memory: gigabyte / 2 }), 1)
})

test('a failed build shows the first error and the remedy', (t) => {
  const compile =
    '[3/9] Building a.cc.o\nFAILED: a.cc.o\nc++ -O3 a.cc\na.cc:3:1: error: no such thing\nninja: build stopped'
  const text = buildFailure('build', compile)
  t.regex(text, /^The addon could not be built \(cmake-js build\)\.\nFAILED: a\.cc\.o/)
  t.regex(text, /a\.cc:3:1: error: no such thing/)
  t.regex(buildFailure('build', 'g++: fatal error: Killed signal terminated program'), /CMAKE_BUILD_PARALLEL_LEVEL=1/)
  t.regex(buildFailure('configure', 'CMake Error: No CMAKE_CXX_COMPILER could be found.'), /apt-get install g\+\+/)
  const broken =
    'CMake Error at /usr/share/cmake/Modules/CMakeTestCXXCompiler.cmake:60 (message):\n  The C++ compiler\n\n    "/usr/bin/c++"\n\n' +
    '  is not able to compile a simple test program.\n'
  const [, remedy, first] = buildFailure('configure', broken).split('\n')
  t.regex(remedy!, /^There is no working C\+\+ compiler\..*g\+\+/)
  t.regex(first!, /^CMake Error/)
})

test('node modules: contents count, not dates, and those for other platforms may be missing', (t) => {
  const folder = temporaryFolder(t)
  const lock = (version: string) => ({
    packages: {
      '': { name: 'x' },
      'node_modules/a': { version },
      'node_modules/for-a-mac': { version: '1.0.0', optional: true },
    },
  })
  write(folder, 'package-lock.json', JSON.stringify(lock('1.0.0')))
  t.deepEqual(staleModules(folder), ['node_modules/a'])
  const installed = { packages: { 'node_modules/a': { version: '1.0.0' } } }
  write(folder, 'node_modules/.package-lock.json', JSON.stringify(installed))
  t.deepEqual(staleModules(folder), [])
  write(folder, 'package-lock.json', JSON.stringify(lock('1.0.1')))
  t.deepEqual(staleModules(folder), ['node_modules/a'])
})

test('node modules: npm ci for a fresh clone, npm install after that; npx finds the clone', async (t) => {
  const folder = temporaryFolder(t)
  const bin = path.join(folder, 'tools')
  write(folder, 'package-lock.json', JSON.stringify({ packages: { 'node_modules/a': { version: '2.0.0' } } }))
  const log = () => {}
  const options = { root: folder, env: { PATH: bin }, log }
  await t.throwsAsync(ensureNodeModules(options), { code: 'ERR_SETUP', message: /npm is missing/ })
  const installed = JSON.stringify({ packages: { 'node_modules/a': { version: '2.0.0' } } })
  makeProgram(
    bin,
    'npm',
    `echo "$1" >> npm.log; mkdir -p node_modules; echo '${installed}' > node_modules/.package-lock.json`,
  )
  t.is(await ensureNodeModules(options), '1 packages installed')
  t.is(await ensureNodeModules(options), null)
  t.is(readlinkSync(path.join(folder, 'node_modules/.bin/magrpo')), '../../bin/magrpo.mjs')
  write(folder, 'package-lock.json', JSON.stringify({ packages: { 'node_modules/a': { version: '2.0.1' } } }))
  await ensureNodeModules(options)
  t.is(readFileSync(path.join(folder, 'npm.log'), 'utf8'), 'ci\ninstall\n')
  makeProgram(bin, 'npm', 'echo "npm error code E404" >&2; echo "npm error usage" >&2; exit 1')
  await t.throwsAsync(ensureNodeModules(options), {
    message: /npm could not install.*\nnpm error code E404[\s\S]*network/,
  })
})

test('TypeScript is compiled when it changed; an error leaves the last good dist/', async (t) => {
  const folder = temporaryFolder(t)
  symlinkSync(path.join(root, 'node_modules'), path.join(folder, 'node_modules'))
  for (const file of ['tsconfig.json', 'tsconfig.build.json', 'package.json']) {
    cpSync(path.join(root, file), path.join(folder, file))
  }
  write(folder, 'lib/one.ts', "export { two } from './two.ts'\n")
  write(folder, 'lib/two.ts', 'export const two: number = 2\n')
  write(folder, 'lib/sandbox/worker.py', 'pass\n')
  const read = (file: string) => readFileSync(path.join(folder, 'dist', file), 'utf8')
  t.is(await ensureTypescript({ root: folder }), 'compiled lib/ to dist/')
  t.regex(read('one.js'), /\.\/two\.js/)
  t.regex(read('two.d.ts'), /two: number/)
  t.is(read('sandbox/worker.py'), 'pass\n')
  t.is(await ensureTypescript({ root: folder }), null)

  write(folder, 'lib/two.ts', "export const two: number = 'two'\n")
  await t.throwsAsync(ensureTypescript({ root: folder }), {
    code: 'ERR_SETUP',
    message: /lib\/two\.ts.*not assignable/,
  })
  t.regex(read('two.js'), /two = 2/)
})

async function runSetup(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [path.join(root, 'scripts/setup.mjs'), ...args], {
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.on('close', (code) => resolve({ code: code ?? -1, stdout, stderr }))
  })
}

test('each step prints one line with its time to stderr; --quiet leaves out what is done already', async (t) => {
  const { code, stdout, stderr } = await runSetup('--only', 'platform')
  t.deepEqual([code, stdout], [0, ''])
  t.regex(stderr, /^= platform +\d+\.\d s {2}\S.*\n$/)
  t.is((await runSetup('--only', 'platform', '--quiet')).stderr, '')
})

test('wrong options are errors that name the right ones', async (t) => {
  const unknownStep = await runSetup('--only', 'platform,adon')
  t.is(unknownStep.code, 1)
  t.regex(unknownStep.stderr, /Expected steps for --only \(platform, system, .*\) but received adon/)
  const unknownOption = await runSetup('--fast')
  t.is(unknownOption.code, 1)
  t.regex(unknownOption.stderr, /--fast[\s\S]*--help lists the options/)
  t.regex((await runSetup('--help')).stdout, /--only a,b/)
})

test('the lock of a dead process is taken over, that of a living one is waited for', async (t) => {
  interface LockScript {
    withLock<T>(options: { root: string; log: (line: string) => void }, work: () => Promise<T>): Promise<T>
  }
  const { withLock } = await importScript<LockScript>('setup/lock.mjs')
  const folder = temporaryFolder(t)
  const dead = spawn('true')
  await new Promise((resolve) => dead.on('close', resolve))
  write(folder, 'build/setup.lock', String(dead.pid))
  const events: string[] = []
  const options = { root: folder, log: (line: string) => events.push(line.split(' (')[0] ?? '') }
  let release = () => {}
  const first = withLock(options, async () => {
    events.push('first')
    await new Promise<void>((resolve) => (release = resolve))
  })
  const second = withLock(options, async () => events.push('second'))
  while (events.length < 2) await new Promise((resolve) => setTimeout(resolve, 10))
  t.deepEqual(events, ['first', 'waiting for another set-up of this folder'])
  release()
  await Promise.all([first, second])
  t.is(events[2], 'second')
})
