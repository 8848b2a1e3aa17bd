import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { doctorText } from '../../lib/cli/doctor.ts'
import { diagnose } from '../../lib/doctor/doctor.ts'
import { bubblewrapRemedy, diagnoseBubblewrap } from '../../lib/doctor/doctor-bubblewrap.ts'
import { cudaOfHost } from '../../lib/native/cuda-of-host.ts'
import { freeMemory } from '../../lib/native/free-memory.ts'
import { addonPath } from '../../lib/native/load-addon.ts'
import { makeLibtorch, makeProgram, makePython, root, temporaryFolder } from './stand-ins.ts'

test('the report of a machine where nothing is built yet', async (t) => {
  const folder = temporaryFolder(t)
  const bin = path.join(folder, 'bin')
  makePython(bin)
  const report = await diagnose({ root: folder, env: { PATH: bin, HOME: folder } })
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))
  t.like(report, {
    version: manifest.version,
    node: process.versions.node,
    libtorch: null,
    addon: { file: addonPath(folder), built: false, loads: false, info: null },
    cuda: { available: false, reason: 'cpu_build' },
    bubblewrap: { found: false, path: null, works: false },
    python: { path: path.join(bin, 'python3'), version: '3.11.2', pip: true, torch: null },
  })
  t.like(report.platform, { os: process.platform, arch: process.arch })
  t.regex(report.libtorchError ?? '', /none was found .*Run `npx magrpo setup`/)
  t.regex(report.addon.error ?? '', /npx magrpo setup/)
  t.regex(report.bubblewrap.remedy ?? '', /apt-get install bubblewrap|Linux/)
  t.true(report.cpu.cores >= 1 && report.memory.totalBytes > report.memory.availableBytes)
  t.is(report.memory.availableFrom, freeMemory({ env: {} }).from)
  t.deepEqual(JSON.parse(JSON.stringify(report)), report, 'it survives JSON')

  const text = doctorText(report)
  t.regex(text, /^! libtorch {4}none was found/m)
  t.regex(text, /^! addon /m)
  t.regex(text, /^ {2}cuda {8}no: this is a CPU build$/m)
  t.regex(text, /^! bubblewrap {2}bwrap is not on PATH$/m)
})

test('what is available is what the memory plan of a run counts on', async (t) => {
  const folder = temporaryFolder(t)
  const env = { PATH: '/nowhere', HOME: folder, MAGRPO_MEMORY_LIMIT: '400MB' }
  const report = await diagnose({ root: folder, env })
  t.like(report.memory, { availableBytes: 400e6, availableFrom: 'MAGRPO_MEMORY_LIMIT' })
  t.regex(doctorText(report), /available \(MAGRPO_MEMORY_LIMIT\)$/m)
  const inContainer = { ...report, memory: { ...report.memory, availableFrom: 'cgroup' as const } }
  t.regex(doctorText(inContainer), /available within the limit of its control group$/m)
  const wrong = await diagnose({ root: folder, env: { ...env, MAGRPO_MEMORY_LIMIT: 'much' } })
  t.not(wrong.memory.availableFrom, 'MAGRPO_MEMORY_LIMIT')
})

test('the libtorch shown is the one the addon was built with', async (t) => {
  const folder = temporaryFolder(t)
  const other = makeLibtorch(path.join(folder, 'other'), '2.12.0')
  const env = { PATH: '/nowhere', HOME: folder, MAGRPO_LIBTORCH: other }
  t.like((await diagnose({ root: folder, env })).libtorch, { dir: other, version: '2.12.0', rule: 'MAGRPO_LIBTORCH' })
  const builtWith = makeLibtorch(path.join(folder, 'built-with'), '2.13.0')
  const stamp = { dir: builtWith, version: '2.13.0', variant: 'cpu', rule: 'cache' }
  mkdirSync(path.join(folder, 'build'))
  writeFileSync(path.join(folder, 'build/setup.json'), JSON.stringify({ libtorch: stamp }))
  const report = await diagnose({ root: folder, env })
  t.deepEqual(report.libtorch, stamp)
  t.is(report.python, null)
  rmSync(builtWith, { recursive: true })
  t.is((await diagnose({ root: folder, env })).libtorch?.dir, other, 'one that was deleted is not shown')
})

test('an addon that crashes or lacks a library is reported, and the doctor lives', async (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(path.dirname(addonPath(folder)), { recursive: true })
  writeFileSync(
    path.join(folder, 'crash.c'),
    '__attribute__((constructor)) static void f(void) { *(volatile int *)0 = 1; }',
  )
  execFileSync('c++', ['-x', 'c', '-shared', '-fPIC', '-o', addonPath(folder), path.join(folder, 'crash.c')])
  const crashed = await diagnose({ root: folder })
  t.like(crashed.addon, { built: true, loads: false })
  t.regex(crashed.addon.error ?? '', /a process that loaded it was ended by SIGSEGV/)

  writeFileSync(addonPath(folder), 'not an addon')
  t.regex(
    (await diagnose({ root: folder })).addon.error ?? '',
    /could not be loaded: .*\n.*\n.*Delete the build folder/,
  )
})

test('bubblewrap that may not make namespaces: what it said, and what to allow', async (t) => {
  const bin = temporaryFolder(t)
  const bwrap = makeProgram(
    bin,
    'bwrap',
    'if [ "$1" = --version ]; then echo bubblewrap 0.8.0; else echo "bwrap: No permissions to create new namespace" >&2; exit 1; fi',
  )
  t.like(await diagnoseBubblewrap(bwrap), {
    found: true,
    version: '0.8.0',
    works: false,
    error: 'bwrap: No permissions to create new namespace',
  })
  const none = { appArmorRestricts: false, cloneForbidden: false, noneAllowed: false, inContainer: false }
  t.regex(bubblewrapRemedy(none), /user namespaces/)
  t.regex(bubblewrapRemedy({ ...none, appArmorRestricts: true }), /apparmor_restrict_unprivileged_userns=0/)
  t.regex(bubblewrapRemedy({ ...none, cloneForbidden: true }), /kernel\.unprivileged_userns_clone=1/)
  t.regex(bubblewrapRemedy({ ...none, noneAllowed: true }), /user\.max_user_namespaces=/)
  t.regex(bubblewrapRemedy({ ...none, inContainer: true }), /seccomp=unconfined/)
})

test('bubblewrap that made its namespaces but could not run the program in them is told so', async (t) => {
  const bin = temporaryFolder(t)
  const said = 'bwrap: execvp true: No such file or directory'
  const bwrap = makeProgram(
    bin,
    'bwrap',
    `if [ "$1" = --version ]; then echo bubblewrap 0.8.0; else echo "${said}" >&2; exit 1; fi`,
  )
  const { error, remedy } = await diagnoseBubblewrap(bwrap)
  t.is(error, said)
  t.regex(remedy!, /could not run the program `true`/)
  t.notRegex(remedy!, /seccomp/)
})

test('why CUDA cannot be had, from what the system shows', (t) => {
  const system = temporaryFolder(t)
  mkdirSync(path.join(system, 'dev'))
  const reason = (variant: string) => cudaOfHost(variant, system).reason
  t.is(reason('cpu'), 'cpu_build')
  t.is(reason('cu130'), 'no_driver')
  mkdirSync(path.join(system, 'proc/driver/nvidia'), { recursive: true })
  const module =
    'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: 12.2.0\n'
  writeFileSync(path.join(system, 'proc/driver/nvidia/version'), module)
  t.is(reason('cu130'), 'no_device')
  writeFileSync(path.join(system, 'dev/nvidia0'), '')
  t.is(reason('cu130'), 'driver_too_old')
  t.deepEqual(cudaOfHost('cu126', system), { available: true, reason: null })
})
