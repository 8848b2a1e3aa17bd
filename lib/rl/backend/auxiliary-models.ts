/** What an algorithm needs besides the agents: frozen references and critics, as numbers of an engine. */
import type { ConfigIssue } from '../../base/errors.ts'
import type { Algorithm } from '../options/algorithm.ts'

/** Who judges an agent. */
export interface CriticBinding {
  /** Number of the policy that carries the value head. */
  policy: number
  /** It takes the agent's own token ids; otherwise it is given text, for its own tokenizer. */
  sharesTokenizer: boolean
}

/** References and critics of a team. */
export interface AuxiliaryModels {
  /** (n) number of each agent's frozen reference; null where none is needed. */
  references: (number | null)[]
  /** (n) critic of each agent; null where none is needed. In `maac` all agents have the same. */
  critics: (CriticBinding | null)[]
}

/** Makes what an algorithm needs. */
export interface AuxiliaryModelProvider {
  /** What is missing and cannot be made. */
  check(algorithm: Algorithm): ConfigIssue[]
  /**
   * Called once, when a run begins.
   *
   * @param seed the run's, which critics start from
   */
  prepare(algorithm: Algorithm, seed: number): Promise<AuxiliaryModels>
}

/** The auxiliary models of `agents` agents that need none. */
export function noAuxiliaryModels(agents: number): AuxiliaryModels {
  return { references: new Array<null>(agents).fill(null), critics: new Array<null>(agents).fill(null) }
}
