/** What a check of a device says. Plain data. */

/** One comparison of a device with the CPU, or several of one kind whose worst is told. */
export interface CheckRow {
  /** What was compared, such as `attention, decoding` or `gradients`. */
  what: string
  /** How: sizes of the worst case, the model, the settings. */
  how: string
  dtype: 'float32' | 'bfloat16'
  /** Comparisons that this row stands for. */
  cases: number
  /** The largest difference; null where there is none to tell, as of something that threw. */
  difference: number | null
  /** The difference that is allowed; null for what is equal or not. */
  bound: number | null
  passed: boolean
  /** What was expected, what came, and where; null if it passed. */
  failure: string | null
}

/** The parts of a check, each in a process of its own. */
export const stageNames = [
  'kernels',
  'models',
  'samples',
  'graphs',
  'streams',
  'pinned',
  'all settings',
  'two devices',
  'memory',
] as const

/** One of {@link stageNames}. */
export type StageName = (typeof stageNames)[number]

/** One part of a check. */
export interface StageReport {
  name: StageName
  rows: CheckRow[]
  /** Why it was left out; null if it ran. */
  skipped: string | null
  passed: boolean
  seconds: number
}

/** A setting of the environment that is off unless it is set. */
export interface SettingReport {
  name: 'MAGRPO_CUDA_GRAPHS' | 'MAGRPO_CUDA_STREAMS' | 'MAGRPO_CUDA_PINNED'
  /** Whether everything that was compared with it on passed, alone and with the others. */
  safe: boolean
}

/** The answer of `checkDevice`; `magrpo doctor --check DEVICE --json` prints it. */
export interface CheckReport {
  device: string
  /** What the maker calls it. */
  name: string
  /** False on the software device. */
  isGpu: boolean
  libtorch: { version: string; variant: string }
  quick: boolean
  stages: StageReport[]
  settings: SettingReport[]
  passed: boolean
  seconds: number
}

/** What a stage needs to run. */
export interface StageRequest {
  stage: StageName
  device: string
  quick: boolean
  /** For models; it is removed when the check ends. */
  folder: string
}

/** What a stage's process sends: rows as they are ready; why there are none. */
export type StageMessage = { row: CheckRow } | { skipped: string } | { error: string }
