/** The doctor's look at the addon, from a child process: an addon that crashes must not take the doctor along. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import os from 'node:os'
import type { NativeInfo } from '../native/addon-types.ts'
import { addonPath, loadError, notBuiltMessage } from '../native/load-addon.ts'

/** What the doctor says about the addon. */
export interface AddonReport {
  file: string
  built: boolean
  loads: boolean
  /** Why it does not load, with the remedy; null if it does. */
  error: string | null
  /** What it says about itself; null if it does not load. */
  info: NativeInfo | null
}

const childScript = `
let answer
try { answer = { info: require(process.argv[1]).info() } } catch (error) { answer = { error: error.message } }
process.stdout.write('\\n' + JSON.stringify(answer))
`

/** @param root the package's folder */
export async function diagnoseAddon(root: string): Promise<AddonReport> {
  const file = addonPath(root)
  if (!existsSync(file)) return { file, built: false, loads: false, error: notBuiltMessage(root), info: null }
  const { output, failure } = await runChild(file)
  const answer = parse(output)
  if (answer?.info) return { file, built: true, loads: true, error: null, info: answer.info }
  const reason = answer?.error ?? failure ?? 'it gave no answer'
  return { file, built: true, loads: false, error: loadError(root, new Error(reason)).message, info: null }
}

function parse(output: string): { info?: NativeInfo; error?: string } | null {
  try {
    return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '')
  } catch {
    return null
  }
}

function runChild(file: string): Promise<{ output: string; failure: string | null }> {
  // Options meant for this process (loaders, inspectors) are not the child's.
  const env = { ...process.env, NODE_OPTIONS: '' }
  return new Promise((resolve) => {
    execFile(process.execPath, ['-e', childScript, file], { env, timeout: 60_000 }, (error, stdout) => {
      const how = error?.signal ? `was ended by ${error.signal}` : `ended with exit code ${error?.code}`
      resolve({ output: stdout, failure: error === null ? null : `a process that loaded it ${how}` })
    })
  })
}

/** The processor and what of it libtorch may use. */
export interface CpuReport {
  model: string
  /** Cores this process may use. */
  cores: number
  /** Threads the addon computes with; null if it does not load. */
  threads: number | null
  /** The instruction set libtorch chose, such as `AVX2`; null if the addon does not load. */
  capability: string | null
  /** Those that matter here, out of what the processor has. */
  features: string[]
}

const relevant =
  /^(sse4_2|avx|avx2|fma|f16c|avx_vnni|avx512(f|bw|dq|vl|_vnni|_bf16|_fp16)|amx_(bf16|int8|tile)|asimd|asimdhp|bf16|sve2?)$/

/** @param info what the addon says, null if it does not load */
export function diagnoseCpu(info: NativeInfo | null): CpuReport {
  let features: string[] = []
  try {
    const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? ''
    features = flags.split(' ').filter((flag) => relevant.test(flag))
  } catch {
    // Only Linux has that file.
  }
  return {
    model: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    threads: info?.threads ?? null,
    capability: info?.cpuCapability ?? null,
    features,
  }
}
