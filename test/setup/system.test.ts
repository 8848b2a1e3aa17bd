import { readFileSync } from 'node:fs'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { skipBecause } from '../support/skip.ts'
import { importScript, makeLibtorch, makeProgram, makePython, temporaryFolder } from './stand-ins.ts'

interface SystemScript {
  missingPrograms(env: NodeJS.ProcessEnv, platform?: string): string[]
  ensurePrograms(options: { env: NodeJS.ProcessEnv; log: (line: string) => void }): Promise<string | null>
}
const { missingPrograms, ensurePrograms } = await importScript<SystemScript>('setup/system.mjs')

interface PlatformScript {
  checkPlatform(host: { platform: string; arch: string; glibc: string | null; node: string }): string
}
const { checkPlatform } = await importScript<PlatformScript>('setup/platform.mjs')

const all = ['g++', 'make', 'cmake', 'bwrap', 'python3']

// A PATH with every program set-up needs but `without`; no package manager is on it.
function machine(t: ExecutionContext, without: string[] = []) {
  const folder = temporaryFolder(t)
  const bin = path.join(folder, 'bin')
  makeProgram(bin, 'unrelated')
  for (const name of all.filter((program) => !without.includes(program))) {
    if (name === 'python3') makePython(bin, { pip: !without.includes('pip') })
    else makeProgram(bin, name, name === 'cmake' ? 'echo cmake version 3.25.1' : 'exit 0')
  }
  return { folder, bin, env: { PATH: bin, HOME: folder, MAGRPO_CACHE: path.join(folder, 'cache') } }
}

const log = () => {}

test('where everything is there, nothing is done', async (t) => {
  const { env } = machine(t)
  t.deepEqual(missingPrograms(env, 'linux'), [])
  t.is(await ensurePrograms({ env, log }), null)
})

for (const [program, packageName, purpose] of [
  ['g++', 'g++', /a C\+\+ compiler \(g\+\+\), to build the addon/],
  ['make', 'make', /make or ninja/],
  ['cmake', 'cmake', /cmake 3\.19 or newer/],
  ['python3', 'python3 python3-pip', /python3, to get libtorch/],
  ['pip', 'python3-pip', /python3's pip, to get libtorch/],
  ['bwrap', 'bubblewrap', /bubblewrap \(bwrap\), the sandbox/],
] as const) {
  test(`a missing ${program} is named with the command that installs it`, async (t) => {
    const { env } = machine(t, [program])
    const error = await t.throwsAsync(ensurePrograms({ env, log }), { code: 'ERR_SETUP', message: purpose })
    t.true(error.message.includes(`apt-get install -y --no-install-recommends ${packageName}\n`), error.message)
    t.regex(error.message, /run the same command again/)
  })
}

test('other systems get the command of their package manager, which is not run', async (t) => {
  const { bin, env } = machine(t, ['g++', 'pip'])
  makeProgram(bin, 'dnf', `touch ${bin}/dnf-was-run`)
  await t.throwsAsync(ensurePrograms({ env, log }), { message: /dnf install -y gcc-c\+\+ python3-pip/ })
  t.throws(() => readFileSync(path.join(bin, 'dnf-was-run')))
})

test('pip is not needed where a libtorch is there', (t) => {
  const { folder, env } = machine(t, ['pip'])
  t.deepEqual(missingPrograms(env, 'linux'), ['pip'])
  makeLibtorch(path.join(folder, 'cache/libtorch-2.13.0-cpu'), '2.13.0+cpu')
  t.deepEqual(missingPrograms(env, 'linux'), [])
})

test('bubblewrap is asked for on Linux only; ninja does instead of make, clang or CXX instead of g++', (t) => {
  const { bin, env } = machine(t, ['bwrap', 'make', 'g++'])
  t.deepEqual(missingPrograms(env, 'darwin'), ['compiler', 'make'])
  makeProgram(bin, 'ninja')
  t.deepEqual(missingPrograms({ ...env, CXX: makeProgram(bin, 'my-compiler') }, 'darwin'), [])
  t.deepEqual(missingPrograms({ ...env, CXX: '/nowhere/g++' }, 'darwin'), ['compiler'])
  makeProgram(bin, 'clang++')
  t.deepEqual(missingPrograms(env, 'darwin'), [])
})

test('a cmake that is too old is named with a way to a newer one', (t) => {
  const { bin, env } = machine(t)
  const cmake = makeProgram(bin, 'cmake', 'echo cmake version 3.16.3')
  t.throws(() => missingPrograms(env, 'linux'), {
    message: `magrpo needs cmake 3.19 or newer but ${cmake} is 3.16.3. A newer one: python3 -m pip install --user cmake`,
  })
})

// A stand-in for apt-get that logs what it is asked for; `effect` is what an install does.
function withApt(bin: string, effect: string): string {
  makeProgram(bin, 'apt-get', `echo "$*" >> ${bin}/apt.log\n[ "$1" = update ] || { ${effect}; }`)
  return path.join(bin, 'apt.log')
}

test('root installs what is missing by apt-get, after saying so', async (t) => {
  if (process.getuid?.() !== 0) {
    return skipBecause(t, 'only root may install without a password')
  }
  const { bin, env } = machine(t, ['g++', 'bwrap'])
  const aptLog = withApt(bin, `cp ${bin}/make ${bin}/g++; cp ${bin}/make ${bin}/bwrap`)
  const said: string[] = []
  t.is(await ensurePrograms({ env, log: (line) => said.push(line) }), 'installed g++, bubblewrap')
  t.regex(said[0] ?? '', /^installing g\+\+, bubblewrap by apt-get: a C\+\+ compiler/)
  t.deepEqual(readFileSync(aptLog, 'utf8').trim().split('\n'), [
    'update -qq',
    'install -y --no-install-recommends g++ bubblewrap',
  ])
})

test('an install that fails is reported with what apt-get said', async (t) => {
  if (process.getuid?.() !== 0) {
    return skipBecause(t, 'only root may install without a password')
  }
  const { bin, env } = machine(t, ['bwrap'])
  withApt(bin, 'echo "E: Unable to locate package bubblewrap" >&2; exit 100')
  await t.throwsAsync(ensurePrograms({ env, log }), {
    message:
      /bubblewrap \(bwrap\)[\s\S]*apt-get install[\s\S]*apt-get was tried and said:\nE: Unable to locate package/,
  })
})

const host = { platform: 'linux', arch: 'x64', glibc: '2.36', node: '20.19.0' }

test('platforms: supported, untested, and refused with a reason', (t) => {
  t.is(checkPlatform(host), 'linux x64, glibc 2.36: supported')
  t.is(checkPlatform({ ...host, glibc: '2.28' }), 'linux x64, glibc 2.28: supported')
  t.regex(checkPlatform({ ...host, arch: 'arm64' }), /untested/)
  t.regex(checkPlatform({ ...host, platform: 'darwin', arch: 'arm64', glibc: null }), /untested/)
  const refused = (change: Partial<typeof host> | { glibc: null }) =>
    t.throws(() => checkPlatform({ ...host, ...change }), { code: 'ERR_SETUP' }).message
  t.regex(refused({ glibc: '2.27' }), /needs glibc 2\.28 or newer but found 2\.27/)
  t.regex(refused({ glibc: '2.3.4' }), /found 2\.3\.4/)
  t.regex(refused({ glibc: null }), /musl/)
  t.regex(refused({ platform: 'win32' }), /but this is win32 x64.*WSL/)
  t.regex(refused({ arch: 'ia32' }), /but this is linux ia32/)
  t.regex(refused({ node: '18.20.0' }), /needs Node 20\.19 or newer but this is 18\.20\.0/)
})
