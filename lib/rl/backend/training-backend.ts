/** The team as the trainer sees it: agents that name their policies by number, and an engine that knows these numbers. */
import { MagrpoError } from '../../base/errors.ts'
import type { Prompt } from '../../model/types.ts'
import type { Task } from '../../tasks/task/types.ts'
import type { MemoryPlan } from '../memory/plan.ts'
import type { AgentSummary, ResolvedTrainOptions } from '../types/options.ts'
import type { SaveTeam } from '../types/sink.ts'
import type { AuxiliaryModelProvider } from './auxiliary-models.ts'
import type { Engine } from './engine.ts'
import type { Ranks } from './ranks.ts'

/** What the trainer needs of a team: an engine, its agents, and files of their weights. */
export interface TrainingBackend {
  engine: Engine
  /** (n) */
  agents: AgentSummary[]
  auxiliary: AuxiliaryModelProvider
  /** The processes that train it together. Default: this one. */
  ranks?: Ranks
  /** Column of the ranks that hold a policy, by its number. Default: 0. */
  columnOf?(policy: number): number
  /** Device of a policy, by its number; none where there is no real model. */
  deviceOf?(policy: number): string
  save: SaveTeam
  weights: WeightFiles
  /**
   * How long a prompt is for an agent.
   *
   * @param room tokens; a prompt that is sure to leave so many is not counted exactly
   * @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_TOKEN_RANGE`, `ERR_TOKENIZER_MISSING`
   */
  measurePrompt?(agent: number, prompt: Prompt, room: number): PromptSize
  /**
   * Takes what a run trains for this run alone, until the function that it gives is called.
   *
   * @throws MagrpoError `ERR_ARGUMENT` where another run has it
   */
  claim?(): () => void
  /** What a run on it takes; none where there is no real model. */
  planMemory?(task: Task, options: ResolvedTrainOptions): MemoryPlan
}

/** How long a prompt is. */
export interface PromptSize {
  /** Exact, or the most it can be if that leaves the room that was asked for. */
  tokens: number
  /** Of the agent's model, in tokens. */
  contextLength: number
}

/** Weights and moments as files, for checkpoints. */
interface WeightFiles {
  /**
   * Writes those of the policies named into a folder that exists, as they are at the call; it is on the disk when the promise
   * settles. A policy may be stepped before that.
   */
  write(directory: string, policies: readonly number[]): Promise<void>
  /** What the names of a policy's files begin with. */
  prefixOf(policy: number): string
  /** Overwrites the policies with what {@link write} wrote. */
  read(directory: string, policies: readonly number[]): Promise<void>
  /**
   * The same where optimizers are spread over ranks: all of them call these at once, those above 0 with null in place of the folder.
   * The files are the same. No policy may be stepped until the promise has settled.
   */
  spread?: {
    write(directory: string | null, policies: readonly number[]): Promise<void>
    read(directory: string | null, policies: readonly number[]): Promise<void>
  }
}

/** (n) number of each agent's policy, null for a frozen one. */
export function trainedPolicies(agents: readonly AgentSummary[]): (number | null)[] {
  return agents.map(({ kind, policy }) => (kind === 'base' ? null : policy))
}

/**
 * @throws MagrpoError `ERR_TASK` unless the team's agents are those of the task, in its order
 */
export function checkAgents(
  agents: readonly { name: string }[],
  task: { name: string; agents: readonly string[] },
): void {
  const names = agents.map(({ name }) => name)
  if (names.length === task.agents.length && names.every((name, agent) => name === task.agents[agent])) return
  throw new MagrpoError(
    'ERR_TASK',
    `Expected a team of the agents of task '${task.name}', in order (${task.agents.join(', ')}), but received ` +
      `${names.join(', ')}. Make it with the names of task.agents.`,
    { details: { task: task.name, expected: [...task.agents], received: names } },
  )
}
