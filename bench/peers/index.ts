/** Typed view of `environment.mjs`, which is plain JavaScript because it may be run by itself before anything is compiled. */

interface Settings {
  env?: NodeJS.ProcessEnv
  log?: (line: string) => void
}

/** What the peers are run by. */
export interface PeersEnvironment {
  /** Folder where models and results of the benchmark are kept. */
  benchFolder(env?: NodeJS.ProcessEnv): string
  /** The Python with torch, transformers and TRL; made first where it is missing. */
  ensurePeersPython(settings?: Settings): Promise<string>
  /** Folder whose node_modules hold node-llama-cpp; made first where it is missing. */
  ensureLlamaCpp(settings?: Settings): Promise<string>
}

/** The scripts that make the peers' environments. */
export const peersEnvironment = (await import(new URL('./environment.mjs', import.meta.url).href)) as PeersEnvironment
