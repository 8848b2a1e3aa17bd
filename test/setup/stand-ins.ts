/** Stand-ins for what set-up finds on a machine: libtorch folders, python3 with its pip, and other programs. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { ExecutionContext } from 'ava'

/** The repository's root. */
export const root = path.resolve(import.meta.dirname, '../..')

/** A folder that is deleted after the test. */
export function temporaryFolder(t: ExecutionContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'magrpo-setup-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Imports a plain JavaScript module of `scripts/`, as what the caller says it is. */
export async function importScript<T>(file: string): Promise<T> {
  return (await import(path.join(root, 'scripts', file))) as T
}

/** Writes what set-up takes for a libtorch of that version (`2.13.0+cpu`) and CUDA version. */
export function makeLibtorch(folder: string, version: string, cuda: string | null = null): string {
  for (const part of ['include', 'lib', 'share/cmake/Torch']) mkdirSync(path.join(folder, part), { recursive: true })
  writeFileSync(path.join(folder, 'lib/libtorch.so'), '')
  if (cuda !== null) writeFileSync(path.join(folder, 'lib/libtorch_cuda.so'), '')
  const cudaLine = `cuda: Optional[str] = ${cuda === null ? 'None' : `'${cuda}'`}`
  writeFileSync(path.join(folder, 'version.py'), `__version__ = '${version}'\n${cudaLine}\n`)
  return folder
}

/** Puts a shell script named `name` into `bin`; it sees the system's programs, whatever PATH its caller has. */
export function makeProgram(bin: string, name: string, script = 'exit 0'): string {
  mkdirSync(bin, { recursive: true })
  const file = path.join(bin, name)
  writeFileSync(file, `#!/bin/sh\nPATH=/usr/bin:/bin\n${script}\n`)
  chmodSync(file, 0o755)
  return file
}

// What a CUDA wheel of torch says it needs.
const cudaMetadata = `Name: torch
Requires-Dist: filelock
Requires-Dist: cuda-toolkit[cublas,cudart]==13.0.3; platform_system == "Linux"
Requires-Dist: nvidia-nccl-cu13==2.30.7; platform_system == "Linux"
Requires-Dist: triton~=3.8.0; platform_system == "Linux"
`

/** How a stand-in for python3 behaves. */
export interface FakePython {
  /** Whether it has pip; defaults to true. */
  pip?: boolean
  /** Folder of its own PyTorch. */
  torch?: string
  /** Which downloads work: by the index named on the command line, by the user's configuration. Defaults to neither. */
  offers?: ('cpu-index' | 'configured')[]
  /** Version of the wheel it gives. */
  version?: string
  /** CUDA version of the wheel it gives. */
  cuda?: string
  /** Whether it can install NVIDIA's packages; defaults to true. */
  toolkit?: boolean
  /** Refuses a download that does not name a Python version, as where python3 is too new for the wheel. */
  needsPythonVersion?: boolean
}

/**
 * Puts a `python3` into `bin` that answers set-up's question about itself, `-m pip download`, `-m pip install` of a CUDA toolkit
 * and `-m zipfile -e`, and writes the arguments of each download to `bin/downloads.log`.
 */
export function makePython(bin: string, fake: FakePython = {}): void {
  const { pip = true, torch = null, offers = [], version = '2.13.0+cpu', cuda, needsPythonVersion = false } = fake
  const { toolkit = true } = fake
  const wheel = makeLibtorch(path.join(bin, 'wheel-content/torch'), version, cuda)
  const info = path.join(bin, `wheel-content/torch-${version}.dist-info`)
  mkdirSync(info, { recursive: true })
  writeFileSync(path.join(info, 'METADATA'), cuda === undefined ? 'Name: torch\n' : cudaMetadata)
  const about = JSON.stringify({ version: '3.11.2', pip, torch })
  const knows = (way: 'cpu-index' | 'configured') => (offers.includes(way) ? 'yes' : 'no')
  makeProgram(
    bin,
    'python3',
    `
case "$1 $2 $3" in
"-c "*) echo '${about}' ;;
"-m pip download")
  echo "$*" >> '${bin}/downloads.log'
  offered=${knows('configured')}
  case "$*" in *--index-url*) offered=${knows('cpu-index')} ;; esac
  ${needsPythonVersion ? 'case "$*" in *--python-version*) ;; *) offered=no ;; esac' : ''}
  if [ $offered = no ]; then echo "ERROR: No matching distribution found for torch==2.13.0" >&2; exit 1; fi
  while [ "$1" != --dest ]; do shift; done
  touch "$2/torch-stand-in.whl"
  echo "Processing /mirror/torch-stand-in.whl" ;;
"-m pip install")
  echo "$*" >> '${bin}/downloads.log'
  ${toolkit ? '' : 'echo "ERROR: No matching distribution found for nvidia-cuda-nvcc" >&2; exit 1'}
  while [ "$1" != --target ]; do shift; done
  cuda="$2/nvidia/cu13"
  mkdir -p "$cuda/bin" "$cuda/include" "$cuda/lib" "$2/nvidia/nccl/lib"
  touch "$cuda/include/cuda.h" "$cuda/lib/libcudart.so.13" "$cuda/lib/libnvblas.so.13" "$2/nvidia/nccl/lib/libnccl.so.2"
  printf '#!/bin/sh\n' > "$cuda/bin/nvcc" && chmod +x "$cuda/bin/nvcc" ;;
"-m zipfile -e") mkdir -p "$5" && cp -r '${path.dirname(wheel)}/.' "$5/" ;;
*) echo "unexpected: $*" >&2; exit 2 ;;
esac`,
  )
}

/** Arguments of the downloads a {@link makePython} was asked for, one string each. */
export function downloadsOf(bin: string): string[] {
  const log = path.join(bin, 'downloads.log')
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []
}
