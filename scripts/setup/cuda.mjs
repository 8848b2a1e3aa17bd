/** What a CUDA build needs beside libtorch: a toolkit (nvcc, headers, libraries), found or fetched by pip. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statfsSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { lastLines, runLong, SetupError, which } from './common.mjs'

/** The PyTorch whose CUDA wheel is fetched. */
export const cudaVersion = '2.14.1'
/** GPUs that code is made for: A100, H100, and by PTX everything newer. */
const architectures = '8.0;9.0+PTX'
/** What fetching takes at most, wheels and their contents together, and what stays. */
const neededBytes = 9 * 2 ** 30

/** @returns {boolean} whether `MAGRPO_CUDA` asks for the CUDA build instead of the CPU one */
export const wantsCuda = (env = process.env) => Boolean(env.MAGRPO_CUDA) && env.MAGRPO_CUDA !== '0'

/**
 * The toolkit that fits a libtorch: the one of the `nvidia` wheels beside it, else the one of `CUDA_HOME`, else that of the
 * `nvcc` on PATH.
 *
 * @param {string} torch folder of libtorch
 * @returns {string | null} a folder with `bin/nvcc` and `include/`
 */
export function findToolkit(torch, env = process.env) {
  const wheels = path.join(torch, '..', 'nvidia')
  const beside = existsSync(wheels) ? readdirSync(wheels).filter((name) => /^cu\d+$/.test(name)) : []
  const nvcc = which('nvcc', env)
  const folders = [
    ...beside.map((name) => path.join(wheels, name)),
    ...(env.CUDA_HOME ? [env.CUDA_HOME] : []),
    ...(nvcc === null ? [] : [path.dirname(path.dirname(nvcc))]),
  ]
  return (
    folders.find((folder) => ['bin/nvcc', 'include/cuda.h'].every((file) => existsSync(path.join(folder, file)))) ??
    null
  )
}

/** @returns {string[]} CMake settings that make PyTorch's CMake files find the toolkit, as cmake-js takes them */
export function cudaSettings(toolkit) {
  return Object.entries({
    MAGRPO_CUDA: 'ON',
    CMAKE_CUDA_COMPILER: path.join(toolkit, 'bin/nvcc'),
    CUDAToolkit_ROOT: toolkit,
    CUDA_TOOLKIT_ROOT_DIR: toolkit,
    CUDA_INCLUDE_DIRS: path.join(toolkit, 'include'),
    CUDA_CUDART_LIBRARY: path.join(toolkit, 'lib64/libcudart.so'),
    TORCH_CUDA_ARCH_LIST: architectures,
  }).map(([name, value]) => `--CD${name}=${value}`)
}

/** @returns {string | null} why there is no room for the download in `folder`; null if there is */
export function roomProblem(folder, free = freeBytes(folder)) {
  if (free >= neededBytes) return null
  return `expected ${neededBytes / 2 ** 30} GB of free disk for ${folder} but found ${(free / 2 ** 30).toFixed(1)} GB`
}

function freeBytes(folder) {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

/**
 * Installs the `nvidia` wheels which an unpacked torch wheel names, and those with nvcc and its headers, beside it.
 *
 * @param {{ python: string, work: string, env: Record<string, string | undefined> }} options `work` holds the unpacked wheel
 * @returns {Promise<string | null>} why that failed; null if it did not
 */
export async function addToolkit({ python, work, env }) {
  const info = readdirSync(work).find((name) => /^torch-.*\.dist-info$/.test(name))
  const requirements =
    info === undefined ? [] : toolkitRequirements(readFileSync(path.join(work, info, 'METADATA'), 'utf8'))
  if (requirements.length === 0) return 'the torch wheel names no NVIDIA packages'
  const target = path.join(work, 'site')
  const flags = ['--target', target, '--only-binary', ':all:', '--no-cache-dir', '--disable-pip-version-check']
  // Dependencies are wanted here: cuda-toolkit is a list of exact versions, which name nothing but one another.
  const install = await runLong(python, ['-m', 'pip', 'install', ...flags, ...requirements], { env })
  if (!install.ok) return `pip could not install the NVIDIA packages: ${failureOf(install.output)}`
  renameSync(path.join(target, 'nvidia'), path.join(work, 'nvidia'))
  const toolkit = findToolkit(path.join(work, 'torch'), { PATH: '' })
  if (toolkit === null) return 'the NVIDIA packages hold no nvcc'
  removeUnused(path.join(work, 'nvidia'))
  linkLibraries(toolkit)
  return null
}

const failureOf = (output) => output.split('\n').findLast((line) => line.startsWith('ERROR:')) ?? lastLines(output, 1)

/**
 * @param {string} metadata of a torch wheel
 * @returns {string[]} what pip has to install: the NVIDIA packages it names, with the compiler among the toolkit's parts
 */
export function toolkitRequirements(metadata) {
  return [...metadata.matchAll(/^Requires-Dist: ((?:cuda-toolkit|nvidia-)[^;\s]+)/gm)].map(([, requirement]) =>
    requirement.replace(/^cuda-toolkit\[/, 'cuda-toolkit[nvcc,crt,cccl,'),
  )
}

// Parts that libtorch does not link: they are a tenth of the whole.
const unused =
  /^lib(nvrtc(-builtins)?\.alt|cusolverMg|nvblas|cufftw|nvperf_|pcsamplingutil|checkpoint|nvshmem_device\.bc)/

function removeUnused(nvidia) {
  for (const part of readdirSync(nvidia)) {
    const lib = path.join(nvidia, part, 'lib')
    if (!existsSync(lib)) continue
    for (const name of readdirSync(lib)) if (unused.test(name)) rmSync(path.join(lib, name))
  }
}

// A toolkit as CMake knows it has lib64, and libraries without their version.
function linkLibraries(toolkit) {
  const lib = path.join(toolkit, 'lib')
  if (!existsSync(path.join(toolkit, 'lib64'))) symlinkSync('lib', path.join(toolkit, 'lib64'))
  for (const name of readdirSync(lib)) {
    const plain = /^(.+\.so)\.[\d.]+$/.exec(name)?.[1]
    if (plain !== undefined && !existsSync(path.join(lib, plain))) symlinkSync(name, path.join(lib, plain))
  }
}

/** @throws {SetupError} CUDA builds are for Linux only */
export function checkCudaPlatform(platform = process.platform) {
  if (platform === 'linux') return
  throw new SetupError(`MAGRPO_CUDA needs Linux but this is ${platform}. Unset MAGRPO_CUDA to build for the CPU.`)
}
