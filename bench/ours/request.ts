/** What the driver asks of a child, the same for both sides. */
import type { Sampling } from '../../lib/model/sampling.ts'
import type { MomentKind } from '../../lib/model/step-options.ts'
import type { Inputs } from '../cases.ts'

/** Which trial; unused fields are ignored. */
export interface CaseRequest extends Inputs {
  call:
    | 'gate'
    | 'open'
    | 'run'
    | 'peak'
    | 'sumShare'
    | 'weightBytes'
    | 'optimizerBytes'
    | 'exchanged'
    | 'resident'
    | 'tokens'
    | 'tie'
    | 'versions'
  case: 'gen' | 'ragged' | 'update' | 'step' | 'decode'
  /** Folder of the models and adapters that the peer wrote. */
  root: string
  model: string
  agents: number
  groupSize: number
  newTokens: number
  learningRate: number
  /** Agents are adapters over the first model, instead of models of their own. */
  adapters: boolean
  /** `ragged`: tokens of each row. */
  lengths: number[]
  /** `gate`: also the gradient and three updates of the first agent. */
  trains: boolean
  /** `gate`: where its files go. */
  folder: string
  /** `decode`: one row per prompt, greedily, in place of `groupSize` samples of `promptIds`. */
  prompts?: number[][]
  /** `tie`: two tokens that might follow `promptIds`. */
  candidates?: [number, number]
  /** `decode`: how tokens are drawn, where not plainly. */
  sampling?: Pick<Sampling, 'temperature' | 'topP'>
  /** `decode`: a model folder in place of `root` and `model`. */
  source?: string
  /** Default: float32. */
  dtype?: 'float32' | 'bfloat16'
  /** `step`: prompts of a step, all of one length. Default: 1. */
  stepPrompts?: number
  deterministic?: boolean
  /** `step`: AdamW's moments are spread over the ranks. */
  sharded?: boolean
  /** `step`: each rank holds one agent. */
  byAgent?: boolean
  /** Default: the CPU. */
  device?: `cuda:${number}`
  /** `update`: what AdamW's moments are kept in. */
  moments?: MomentKind
}
