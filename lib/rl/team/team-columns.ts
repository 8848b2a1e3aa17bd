/** Which processes of a run hold which agents. */
import { ConfigError } from '../../base/errors.ts'
import { boundsOf, placeInGrid } from '../backend/ranks.ts'

/** The columns of a team. */
export interface TeamColumns {
  /** (n) column of each agent. */
  agents: number[]
  /** That of this process. */
  own: number
}

/**
 * The columns of a configuration: with `ranks: agents` each process holds some of the agents, else all.
 *
 * @param agents how many there are
 * @param processes where this process stands
 * @throws ConfigError if agents and processes do not divide each other, or agents share their weights
 */
export function teamColumns(
  { ranks, sharedWeights }: { ranks?: 'data' | 'agents'; sharedWeights?: boolean },
  agents: number,
  processes: { rank: number; size: number },
): TeamColumns {
  const { rank, size } = processes
  if (ranks !== 'agents' || size === 1) return { agents: new Array<number>(agents).fill(0), own: 0 }
  if (sharedWeights === true)
    throw wrong(
      'expected agents with weights of their own, but sharedWeights gives all of them the same; use ranks: data',
    )
  if (size % agents !== 0 && agents % size !== 0)
    throw wrong(
      `expected as many processes as there are agents (${agents}), a multiple of them or a divisor, but there are ${size}`,
    )
  const columns = Math.min(size, agents)
  const bounds = boundsOf(agents, columns)
  return {
    agents: Array.from({ length: agents }, (_, agent) => bounds.filter((begin) => begin <= agent).length - 1),
    own: placeInGrid({ rank, size, columns }).column,
  }
}

const wrong = (message: string) => new ConfigError([{ path: 'team.ranks', message }], 'The team')
