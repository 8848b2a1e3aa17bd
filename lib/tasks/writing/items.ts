/** Items of the writing tasks. */

/** One post, in the form of the data set `trl-lib/tldr`. */
export interface TldrItem {
  /** The post: subreddit, title and text. A `TL;DR:` at its end is left out of the prompts. */
  prompt: string
}

/** One paper. */
export interface ArxivItem {
  /** The abstract, 100 to 300 words in the data of the paper. */
  abstract_text: string
}

/** The beginning of a story. */
export interface StoryItem {
  opening: string
}
