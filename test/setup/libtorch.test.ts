import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { FoundLibtorch, SetupScripts } from '../../lib/native/setup-scripts.ts'
import {
  downloadsOf,
  type FakePython,
  importScript,
  makeLibtorch,
  makeProgram,
  makePython,
  temporaryFolder,
} from './stand-ins.ts'

interface LibtorchScript extends Pick<SetupScripts, 'findLibtorch'> {
  getLibtorch(options: { env: NodeJS.ProcessEnv; log?: (line: string) => void }): Promise<FoundLibtorch>
  foundLine(libtorch: FoundLibtorch): string
}
const { findLibtorch, getLibtorch, foundLine } = await importScript<LibtorchScript>('libtorch.mjs')
const { roomProblem } = await importScript<{ roomProblem(folder: string, free?: number): string | null }>(
  'setup/cuda.mjs',
)

// A machine where every way would give another version, so that the version tells which way won.
function machine(t: ExecutionContext, python: FakePython = {}) {
  const folder = temporaryFolder(t)
  const bin = path.join(folder, 'bin')
  const cache = path.join(folder, 'cache')
  makePython(bin, { offers: ['cpu-index', 'configured'], ...python })
  return { folder, bin, cache, env: { PATH: bin, MAGRPO_CACHE: cache, HOME: folder } as NodeJS.ProcessEnv }
}

test('MAGRPO_LIBTORCH wins over the cache, python3 and pip', async (t) => {
  const { folder, bin, cache, env } = machine(t, { torch: '/nowhere' })
  makeLibtorch(path.join(cache, 'libtorch-2.13.0-cpu'), '2.13.0+cpu')
  env.MAGRPO_LIBTORCH = makeLibtorch(path.join(folder, 'mine'), '2.11.1')
  const found = await getLibtorch({ env })
  t.like(found, { dir: env.MAGRPO_LIBTORCH, version: '2.11.1', variant: 'cpu', rule: 'MAGRPO_LIBTORCH' })
  t.regex(foundLine(found), /^libtorch 2\.11\.1, CPU, in .*mine \(found by: MAGRPO_LIBTORCH\)$/)
  t.deepEqual(downloadsOf(bin), [])
})

test('the cache comes before PyTorch of python3; in it the pinned version, then the newest that is supported', async (t) => {
  const { folder, bin, cache, env } = machine(t)
  makePython(bin, { torch: makeLibtorch(path.join(folder, 'site/torch'), '2.14.0') })
  for (const version of ['2.9.0', '2.12.0', '2.14.0'])
    makeLibtorch(path.join(cache, `libtorch-${version}-cpu`), version)
  makeLibtorch(path.join(cache, 'libtorch-2.14.0-cu130'), '2.14.0', '13.0')
  t.like(await getLibtorch({ env }), { version: '2.14.0', rule: 'cache' })
  makeLibtorch(path.join(cache, 'libtorch-2.13.0-cpu'), '2.13.0+cpu')
  t.like(await getLibtorch({ env }), { version: '2.13.0', rule: 'cache' })
  t.deepEqual(downloadsOf(bin), [])
})

test('PyTorch of python3 comes before a download', async (t) => {
  const { folder, bin, env } = machine(t)
  const torch = makeLibtorch(path.join(folder, 'site/torch'), '2.12.1+cpu')
  makePython(bin, { torch, offers: ['cpu-index', 'configured'] })
  t.like(await getLibtorch({ env }), { dir: torch, version: '2.12.1', rule: `PyTorch of ${bin}/python3` })
  t.deepEqual(downloadsOf(bin), [])
})

for (const [what, version, cuda] of [
  ['too old a', '2.10.0', null],
  ['too new a', '2.15.0', null],
  ['a CUDA', '2.13.0', '13.0'],
] as const) {
  test(`${what} PyTorch of python3 is passed over with the reason`, async (t) => {
    const { folder, bin, env } = machine(t)
    const torch = makeLibtorch(path.join(folder, 'site/torch'), version, cuda)
    makePython(bin, { torch, offers: ['cpu-index'] })
    const { found, tried } = findLibtorch(env)
    t.is(found, null)
    t.regex(tried[2] ?? '', cuda === null ? /outside of the supported range 2\.11 to 2\.14/ : /CUDA build \(cu130\)/)
    t.like(await getLibtorch({ env }), { version: '2.13.0', variant: 'cpu' })
  })
}

test("pip asks PyTorch's CPU index first, and unpacks the wheel into the cache", async (t) => {
  const { bin, cache, env } = machine(t)
  const found = await getLibtorch({ env })
  t.deepEqual(found, {
    dir: path.join(cache, 'libtorch-2.13.0-cpu'),
    version: '2.13.0',
    variant: 'cpu',
    rule: "pip with PyTorch's CPU index, from /mirror/torch-stand-in.whl",
  })
  t.is(downloadsOf(bin).length, 1)
  t.regex(
    downloadsOf(bin)[0] ?? '',
    /pip download --no-deps --only-binary :all: .*--index-url \S+\/cpu .*torch==2\.13\.0$/,
  )
  t.deepEqual(readdirSync(cache), ['libtorch-2.13.0-cpu'], 'neither the wheel nor a working folder is left')
  t.like(await getLibtorch({ env }), { rule: 'cache' })
  t.is(downloadsOf(bin).length, 1, 'the second time nothing is fetched')
})

test('where the CPU index cannot be reached, pip is asked as the user configured it', async (t) => {
  const { bin, env } = machine(t, { offers: ['configured'] })
  const lines: string[] = []
  const found = await getLibtorch({ env, log: (line) => lines.push(line) })
  t.is(found.rule, 'pip as you configured it, from /mirror/torch-stand-in.whl')
  t.false(downloadsOf(bin).at(-1)?.includes('--index-url'))
  t.true(lines.some((line) => line.startsWith("pip with PyTorch's CPU index: ERROR: No matching distribution")))
})

test('a python3 without a wheel of its own gets the one of another Python version', async (t) => {
  const { bin, env } = machine(t, { offers: ['cpu-index'], needsPythonVersion: true })
  t.like(await getLibtorch({ env }), { version: '2.13.0' })
  t.regex(downloadsOf(bin)[1] ?? '', /--python-version 3\.11/)
})

test('a CUDA wheel is refused, and nothing is left in the cache', async (t) => {
  const { cache, env } = machine(t, { version: '2.13.0+cu130', cuda: '13.0' })
  await t.throwsAsync(getLibtorch({ env }), { message: /pip as you configured it: it is a CUDA build \(cu130\)/ })
  t.deepEqual(readdirSync(cache), [])
})

test('what a killed set-up left in the cache is removed, what a running one fetches is not', async (t) => {
  const { cache, env } = machine(t)
  const dead = spawnSync('true').pid
  for (const pid of [dead, process.ppid]) mkdirSync(path.join(cache, `.fetch-${pid}`), { recursive: true })
  await getLibtorch({ env })
  t.deepEqual(readdirSync(cache).sort(), [`.fetch-${process.ppid}`, 'libtorch-2.13.0-cpu'])
})

test('a broken libtorch in the cache is replaced', async (t) => {
  const { cache, env } = machine(t)
  mkdirSync(path.join(cache, 'libtorch-2.13.0-cpu/include'), { recursive: true })
  t.like(await getLibtorch({ env }), { rule: "pip with PyTorch's CPU index, from /mirror/torch-stand-in.whl" })
  t.like(await getLibtorch({ env }), { rule: 'cache' })
})

test('where nothing works, the error lists what was tried and the ways out', async (t) => {
  const { cache, env } = machine(t, { offers: [] })
  const error = await t.throwsAsync(getLibtorch({ env }), { code: 'ERR_SETUP' })
  for (const text of [
    'No libtorch 2.11 to 2.14 (CPU) was found',
    'MAGRPO_LIBTORCH: not set',
    `cache ${cache}: no libtorch in it`,
    'PyTorch of python3:',
    "pip with PyTorch's CPU index: ERROR",
    'pip as you configured it: ERROR',
    'set MAGRPO_LIBTORCH to an unpacked libtorch',
    'pip install torch==2.13.0 --index-url',
  ]) {
    t.true(error.message.includes(text), `${text}\nin\n${error.message}`)
  }
})

test('without pip, the error names the package that brings it', async (t) => {
  const { env } = machine(t, { pip: false })
  await t.throwsAsync(getLibtorch({ env }), { message: /has no pip; install it .*apt-get install python3-pip/ })
  await t.throwsAsync(getLibtorch({ env: { ...env, PATH: '/nowhere' } }), { message: /python3 is missing; install it/ })
})

test('MAGRPO_LIBTORCH that cannot be used is an error, never passed over', (t) => {
  const { folder, cache, env } = machine(t)
  makeLibtorch(path.join(cache, 'libtorch-2.13.0-cpu'), '2.13.0+cpu')
  const refused = (dir: string) => t.throws(() => findLibtorch({ ...env, MAGRPO_LIBTORCH: dir }), { code: 'ERR_SETUP' })
  t.regex(
    refused(makeLibtorch(path.join(folder, 'old'), '2.4.1')).message,
    /old cannot be used: version 2\.4\.1 is outside of the supported range 2\.11 to 2\.14\. Set it to .*, or unset it/,
  )
  t.regex(refused(makeLibtorch(path.join(folder, 'gpu'), '2.13.0', '12.6')).message, /it is a CUDA build \(cu126\)/)
  t.regex(refused(path.join(folder, 'nothing')).message, /it has no include, no lib, no share\/cmake\/Torch/)
})

// A CUDA libtorch with the toolkit of NVIDIA's wheels beside it, as the cache holds one.
function makeCudaLibtorch(folder: string, version: string, nvcc = true) {
  const torch = makeLibtorch(path.join(folder, 'torch'), version, '13.0')
  const toolkit = path.join(folder, 'nvidia/cu13')
  mkdirSync(path.join(toolkit, 'include'), { recursive: true })
  writeFileSync(path.join(toolkit, 'include/cuda.h'), '')
  if (nvcc) makeProgram(path.join(toolkit, 'bin'), 'nvcc')
  return { torch, toolkit }
}

test('MAGRPO_CUDA takes a CUDA libtorch from the cache, with its toolkit, and never a CPU one', (t) => {
  const { cache, env } = machine(t)
  makeLibtorch(path.join(cache, 'libtorch-2.13.0-cpu'), '2.13.0+cpu')
  const cuda = { ...env, MAGRPO_CUDA: '1' }
  t.is(findLibtorch(cuda).found, null)
  t.is(findLibtorch({ ...env, MAGRPO_CUDA: '0' }).found?.variant, 'cpu')

  makeCudaLibtorch(path.join(cache, 'libtorch-2.14.0-cu130'), '2.14.0', false)
  t.regex(findLibtorch(cuda).tried[1] ?? '', /no CUDA toolkit for it: no nvcc beside it, in CUDA_HOME or on PATH/)
  const { torch, toolkit } = makeCudaLibtorch(path.join(cache, 'libtorch-2.14.1-cu130'), '2.14.1')
  const { found } = findLibtorch(cuda)
  t.like(found, { dir: torch, version: '2.14.1', variant: 'cu130', rule: 'cache' })
  t.is(path.resolve((found as { toolkit?: string }).toolkit ?? ''), toolkit)
  t.is(findLibtorch(env).found?.variant, 'cpu', 'without MAGRPO_CUDA the CPU one stays')
})

test('MAGRPO_CUDA with a CPU MAGRPO_LIBTORCH is an error; a toolkit of the system fits a CUDA one', (t) => {
  const { folder, env } = machine(t)
  const cpu = makeLibtorch(path.join(folder, 'cpu'), '2.13.0+cpu')
  t.throws(() => findLibtorch({ ...env, MAGRPO_CUDA: '1', MAGRPO_LIBTORCH: cpu }), {
    message: /it is a CPU build, and MAGRPO_CUDA asks for a CUDA one\. Set it to the folder of a CUDA libtorch/,
  })
  const gpu = makeLibtorch(path.join(folder, 'gpu'), '2.13.0', '13.0')
  const { toolkit } = makeCudaLibtorch(path.join(folder, 'system'), '2.13.0')
  const found = findLibtorch({ ...env, MAGRPO_CUDA: '1', MAGRPO_LIBTORCH: gpu, CUDA_HOME: toolkit }).found
  t.like(found, { dir: gpu, toolkit })
})

const isRoomy = (t: ExecutionContext, folder: string) => {
  const problem = roomProblem(folder)
  if (problem !== null) {
    t.log(`skipped: ${problem}`)
    t.pass()
  }
  return problem === null
}

test('for CUDA pip fetches the wheel and the packages it names, with nvcc, as the user configured it', async (t) => {
  const { folder, bin, cache, env } = machine(t, { version: '2.14.1+cu130', cuda: '13.0', offers: ['configured'] })
  if (!isRoomy(t, folder)) return
  const found = await getLibtorch({ env: { ...env, MAGRPO_CUDA: '1' } })
  t.like(found, { dir: path.join(cache, 'libtorch-2.14.1-cu130/torch'), version: '2.14.1', variant: 'cu130' })
  t.is(found.rule, 'pip as you configured it, from /mirror/torch-stand-in.whl')
  const [wheel, packages] = downloadsOf(bin)
  t.regex(wheel ?? '', /pip download --no-deps .*torch==2\.14\.1$/)
  t.regex(packages ?? '', /cuda-toolkit\[nvcc,crt,cccl,cublas,cudart\]==13\.0\.3 nvidia-nccl-cu13==2\.30\.7$/)
  t.notRegex(packages ?? '', /triton|filelock/)
  t.deepEqual(readdirSync(cache), ['libtorch-2.14.1-cu130'])
  const toolkit = path.join(cache, 'libtorch-2.14.1-cu130/nvidia/cu13')
  t.deepEqual(readdirSync(path.join(toolkit, 'lib64')).sort(), ['libcudart.so', 'libcudart.so.13'])
  t.like(await getLibtorch({ env: { ...env, MAGRPO_CUDA: '1' } }), { rule: 'cache' })
  t.is(downloadsOf(bin).length, 2, 'the second time nothing is fetched')
})

test('where NVIDIA packages cannot be had, the error says so and nothing is left', async (t) => {
  const python: FakePython = { version: '2.14.1+cu130', cuda: '13.0', offers: ['configured'], toolkit: false }
  const { folder, cache, env } = machine(t, python)
  if (!isRoomy(t, folder)) return
  const error = await t.throwsAsync(getLibtorch({ env: { ...env, MAGRPO_CUDA: '1' } }), { code: 'ERR_SETUP' })
  t.regex(error.message, /No libtorch 2\.11 to 2\.14 \(CUDA\) was found/)
  t.regex(error.message, /NVIDIA packages: ERROR: No matching distribution found for nvidia-cuda-nvcc/)
  t.regex(error.message, /unset MAGRPO_CUDA to build for the CPU/)
  t.deepEqual(readdirSync(cache), [])
})

test('too little room is told before anything is fetched', (t) => {
  t.regex(roomProblem('/somewhere', 2 ** 30) ?? '', /^expected 9 GB of free disk for \/somewhere but found 1\.0 GB$/)
  t.is(roomProblem('/somewhere', 2 ** 40), null)
})

test('the version is read from an archive and from an own build, too', (t) => {
  const { folder, env } = machine(t)
  const dir = path.join(folder, 'other')
  for (const part of ['include', 'lib', 'share/cmake/Torch']) mkdirSync(path.join(dir, part), { recursive: true })
  const found = () => findLibtorch({ ...env, MAGRPO_LIBTORCH: dir }).found
  t.throws(found, { message: /version of the libtorch in .* cannot be told/ })
  writeFileSync(path.join(dir, 'share/cmake/Torch/TorchConfigVersion.cmake'), 'set(PACKAGE_VERSION "2.12.0")\n')
  t.like(found(), { version: '2.12.0', variant: 'cpu' })
  writeFileSync(path.join(dir, 'build-version'), '2.14.1+cpu\n')
  t.like(found(), { version: '2.14.1', variant: 'cpu' })
})
