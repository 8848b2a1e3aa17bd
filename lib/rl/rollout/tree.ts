/**
 * The rollout tree of one item. A node is one turn seen by all agents: a prompt each, G samples each, and the joint
 * actions these form. A joint action that goes on has a child node. A single turn is a tree of depth 1.
 */
import type { Sample } from '../../model/types.ts'
import type { Completion, Joint } from '../../tasks/task/completion.ts'
import type { TurnHistory } from '../../tasks/task/types.ts'
import type { ChatMessage } from '../../text/messages.ts'

/** One turn of one branch. `n` agents, `G` samples per agent, `J` joint actions. */
export interface RolloutNode {
  /** Index of the item in the list it came from. */
  item: number
  /** Position of the item in the batch; with the step it names the random streams. */
  slot: number
  /** Counted from 0. */
  turn: number
  /**
   * Unique in the tree: its place in the whole tree, turn by turn, whatever branches ended. With J joint actions at every node,
   * joint j of node m leads to m·J + j + 1.
   */
  number: number
  /** Earlier turns of this branch, oldest first. */
  history: TurnHistory[]
  /** (n) */
  prompts: (string | ChatMessage[])[]
  /** (n) token ids of the prompts, as generation made them. */
  promptIds: Int32Array[]
  /** (n, G) */
  samples: Sample[][]
  /** (n, G) the same as tasks see them. */
  completions: Completion[][]
  /** (J) */
  joints: JointAction[]
}

/** What all agents did together at a node. */
export interface JointAction {
  /** (n) index of each agent's sample. */
  picks: number[]
  /** Null: the reward abstained. */
  reward: number | null
  parts: Record<string, number>
  /** Why there is no more, if the reward says. */
  reason?: string
  /** How often its reward was asked for again, where that is counted. */
  retries?: number
  /** What `task.metrics` said; empty without it. */
  metrics: Record<string, number>
  child: RolloutNode | null
}

/** The completions of one joint action, agent by agent. */
export function jointOf(node: RolloutNode, action: JointAction): Joint {
  return action.picks.map((g, agent) => node.completions[agent]![g]!)
}

/** Samples whose log-probabilities and entropies are those of temperature 1 over the whole vocabulary, whatever drew them. */
export function withModelLogProbs(samples: readonly Sample[][]): Sample[][] {
  return samples.map((own) =>
    own.map(({ kept: _, ...sample }) => ({
      ...sample,
      logProbs: sample.modelLogProbs,
      entropies: sample.modelEntropies,
    })),
  )
}

/** What tasks see of a sample. A model without tokenizer gives empty texts: such tasks read ids. */
export function completionOf(sample: Sample): Completion {
  let logProbSum = 0
  for (const logProb of sample.modelLogProbs) logProbSum += logProb
  return { text: sample.text ?? '', ids: sample.ids, finish: sample.finish, logProbSum }
}
