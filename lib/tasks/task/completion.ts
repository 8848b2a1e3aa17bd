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

/** What all agents wrote: `joint[i]` is agent i's completion. */
export type Joint = Completion[]
