/**
 * The published data sets of the tasks, and which part of them the experiments of MAGRPO (arXiv 2508.04652) used, as their
 * configurations say.
 */

/** A published data set. */
export interface PublishedData {
  /** Its name on the hub. */
  hub: string
  /** Parts by name. A split may have several names, of which a version of the data set has one. */
  splits: Record<string, { train?: readonly string[]; heldOut?: readonly string[] }>
}

/** Data sets by task, with their named splits. */
export const publishedData = {
  humaneval: {
    hub: 'openai/openai_humaneval',
    splits: {
      paper: { train: ['test[33:133]'], heldOut: ['test[:32]'] },
      'paper-multi-turn': { train: ['test[33:163]'], heldOut: ['test[:32]'] },
      'paper-baselines': { heldOut: ['test[133:]'] },
    },
  },
  coophumaneval: {
    hub: 'OpenMLRL/CoopHumanEval',
    splits: { paper: { train: ['train[16:]', 'test[16:]'], heldOut: ['train[:16]', 'test[:16]'] } },
  },
  mbpp: {
    hub: 'OpenMLRL/MBPP',
    splits: { paper: { train: ['test[15:65]', 'train[15:65]'], heldOut: ['test[:15]', 'train[:15]'] } },
  },
  tldr: {
    hub: 'trl-lib/tldr',
    splits: { paper: { train: ['train[:1000]'], heldOut: ['test[:1000]'] } },
  },
  arxiv: {
    hub: 'OpenMLRL/arXiv_abstract',
    splits: {
      paper: { train: ['train[:1000]'], heldOut: ['val[:1000]', 'validation[:1000]'] },
      'paper-baselines': { heldOut: ['test[:1000]'] },
    },
  },
} as const satisfies Record<string, PublishedData>

/** A task with a published data set. */
export type PublishedName = keyof typeof publishedData
