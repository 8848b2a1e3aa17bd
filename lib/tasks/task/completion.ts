/** What agents wrote, as rewards, metrics, transitions and baselines receive it. */

/** What one agent wrote, as rewards, metrics and transitions receive it. */
export interface Completion {
  /** The text, without end token and without the stop string that ended it. */
  text: string
  /** Token ids, the end token included if there is one. */
  ids: Int32Array
  /** `stop`: an end token or stop string; `length`: the token limit. */
  finish: 'stop' | 'length'
  /** Sum of the log-probabilities (natural, at temperature 1, of the full distribution) of `ids`. */
  logProbSum: number
}

/**
 * What all agents wrote: `joint[i]` is agent i's completion, and in a task of `defineTask` `joint.NAME` that of the agent of this name.
 * A name that lists have a member of (`length`, `map`, `join`) or that is a number is no such key: there is the index.
 *
 * @typeParam Name names of the agents, where they are known
 */
export type Joint<Name extends string = string> = Completion[] &
  (string extends Name ? unknown : { readonly [Key in Exclude<Name, keyof Completion[]>]: Completion })

/** Gives a joint completion its agents' names, unless it has them; they are no part of what is listed or copied. */
export function nameJoint<Name extends string>(joint: Completion[], agents: readonly Name[]): Joint<Name> {
  for (const [agent, name] of agents.entries()) {
    if (name in joint || agent >= joint.length || /^\d+$/.test(name)) continue
    Object.defineProperty(joint, name, { value: joint[agent], configurable: true })
  }
  return joint as Joint<Name>
}
