/** The options and items of `arxiv`, and where they are published. */

import type { OptionsOf } from '../../base/validate.ts'
import { choice } from '../../base/validate.ts'
import type { PublishedData } from '../datasets/source.ts'
import type { WritingOptions } from '../writing/options.ts'

/** Options of `arxiv` alone. */
export const arxivSettings = {
  /**
   * Which published thresholds of the length ratio both rule sets use: those behind the paper's tables, or those of the code since
   * 2026. Defaults to `paper-time`.
   */
  thresholds: choice(['paper-time', 'current']).default('paper-time'),
}

/** Options of `arxiv`. */
export interface ArxivOptions extends WritingOptions<ArxivItem>, OptionsOf<typeof arxivSettings> {}

/** One paper. */
export interface ArxivItem {
  /** The abstract, 100 to 300 words in the data of the paper. */
  abstract_text: string
}

/** The published abstracts. */
export const arxivData: PublishedData = {
  hub: 'OpenMLRL/arXiv_abstract',
  splits: {
    paper: { train: ['train[:1000]'], heldOut: ['val[:1000]', 'validation[:1000]'] },
    'paper-baselines': { heldOut: ['test[:1000]'] },
  },
}
