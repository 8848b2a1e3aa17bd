/** The items of `tldr` and where they are published. */
import type { PublishedData } from '../datasets/source.ts'

/** One post, in the form of the data set `trl-lib/tldr`. */
export interface TldrItem {
  /** The post: subreddit, title and text. A `TL;DR:` at its end is left out of the prompts. */
  prompt: string
}

/** The published posts. */
export const tldrData: PublishedData = {
  hub: 'trl-lib/tldr',
  splits: { paper: { train: ['train[:1000]'], heldOut: ['test[:1000]'] } },
}
