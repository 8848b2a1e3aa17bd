import type { Sampling } from '../../model/sampling.ts'
import type { Task } from '../../tasks/task/types.ts'
import type { Engine } from '../backend/engine.ts'
import type { JointMode } from '../options/algorithm.ts'
import { evaluationSection } from '../options/run.ts'
import type { RewardCache } from '../types/run-store.ts'
import type { StepItem } from './item-order.ts'
import type { PromptLengths } from './long-prompts.ts'
import type { Row } from './row.ts'

/** What a rollout is made by. */
export interface RolloutPlan {
  engine: Engine
  /** (n) number of each agent's policy. */
  policies: readonly number[]
  task: Task
  /** The list that {@link StepItem.item} points into. */
  items: readonly unknown[]
  chosen: readonly StepItem[]
  sampling: Sampling
  /** G of the first turn, and of the turns after it. */
  groupSize: number
  laterGroupSize: number
  jointMode: JointMode
  turns: number
  terminationThreshold: number | null
  /** What is done with prompts that are too long; default: the engine refuses them. */
  lengths?: PromptLengths
  /** With the agent, the slot and the sample they name each completion's random numbers. */
  seed: number
  step: number
  rewardConcurrency: number
  rewardTimeoutMs: number | null
  signal?: AbortSignal
  /** The ranks that play it together, each with its agents. Default: this one alone. */
  row?: Row
  /** Called when the last token of a turn is there; rewards may still be under way. */
  onGenerated?(): void
  /**
   * Where verdicts are remembered, and what part of the run this rollout is. With slot, turn, node and joint action it is the place
   * of a joint completion: `PART/SLOT/TURN/NODE/JOINT`.
   */
  rewards?: { memory: RewardCache; part: string }
}

const defaultMaxRows = evaluationSection.shape.maxRows.parse(undefined)

/** Items that an evaluation generates in one batch. */
export function itemsAtOnce(samples: number, agents: number, maxRows = defaultMaxRows): number {
  return Math.max(1, Math.floor(maxRows / (samples * agents)))
}
