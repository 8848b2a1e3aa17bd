/**
 * Typed view of the set-up scripts, which are plain JavaScript because they run before anything is compiled.
 */

/** What the scripts tell about a libtorch. */
export interface FoundLibtorch {
  /** Folder with `include/`, `lib/` and `share/cmake/Torch`. */
  dir: string
  /** Such as `2.13.0`. */
  version: string
  /** `cpu`, or `cu` and the CUDA version without its dot. */
  variant: string
  /** Which way of finding it won. */
  rule: string
  /** Folder of the CUDA toolkit a CUDA build takes. */
  toolkit?: string
}

/** The parts of `scripts/` that the library uses; none of them fetches anything. */
export interface SetupScripts {
  /** Looks for a libtorch; throws where a variable names one that cannot be used. */
  findLibtorch(env: NodeJS.ProcessEnv): { found: FoundLibtorch | null; tried: string[] }
  /** The python3 on PATH, null if there is none. */
  probePython(env: NodeJS.ProcessEnv): { path: string; version: string; pip: boolean; torch: string | null } | null
  thisHost(): { platform: string; arch: string; glibc: string | null; node: string }
  /** One line about a supported machine; throws elsewhere. */
  checkPlatform(host: ReturnType<SetupScripts['thisHost']>): string
  /** Path of a program, null if it is not on PATH. */
  which(command: string, env: NodeJS.ProcessEnv): string | null
}

/** Imports the scripts of this package; they lie at the same place seen from `lib/` and from `dist/`. */
export async function loadSetupScripts(): Promise<SetupScripts> {
  const files = ['libtorch.mjs', 'setup/python.mjs', 'setup/platform.mjs', 'setup/common.mjs']
  const modules = await Promise.all(files.map((file) => import(new URL(`../../scripts/${file}`, import.meta.url).href)))
  return Object.assign({}, ...modules) as SetupScripts
}
