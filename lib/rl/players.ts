/** A team as the trainer sees it: agents that name their policies by number, and an engine that knows these numbers. */
import { MagrpoError } from '../errors.ts'
import type { Engine } from './engine.ts'
import type { SupportProvider } from './support.ts'
import type { AgentSummary, SaveTeam } from './types.ts'

/** Who plays. */
export interface Players {
  engine: Engine
  /** (n) */
  agents: AgentSummary[]
  support: SupportProvider
  save: SaveTeam
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
