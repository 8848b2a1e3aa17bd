/** Expanding an abstract into the introduction of a paper: one agent each for its two halves. */

import { ConfigError } from '../../base/errors.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { arxivBaselines } from './baselines.ts'
import type { ArxivItem } from './items.ts'
import { arxivThresholds } from './reward.ts'
import type { WritingOptions } from './writing-task.ts'
import { asPrompt, loadSplits, writingRewards } from './writing-task.ts'

/** Options of {@link arxiv}. */
export interface ArxivOptions extends WritingOptions<ArxivItem> {
  /**
   * Which published thresholds of the length ratio are used: those behind the paper's tables, or those of the code
   * since 2026. Defaults to `paper-time`, for both rule sets.
   */
  thresholds?: keyof typeof arxivThresholds
}

/**
 * The arXiv task of MAGRPO: agent `background` writes background and motivation of an introduction, agent `method` its
 * method and implications, without seeing each other. Scored for equal shares, one style and little repetition.
 *
 * @returns a promise, since files are read asynchronously; `train` takes it as it is
 * @throws MagrpoError `ERR_DATA` if a file cannot be read or an item has no `abstract_text`
 * @example
 * ```ts
 * const task = await arxiv({ train: 'arxiv-train.jsonl', rules: 'paper' })
 * ```
 */
export async function arxiv(options: ArxivOptions): Promise<Task<ArxivItem>> {
  const chat = options.chat ?? false
  const column = options.thresholds ?? 'paper-time'
  if (!Object.hasOwn(arxivThresholds, column))
    throw new ConfigError(
      [{ path: 'thresholds', message: `expected "paper-time" or "current" but received ${JSON.stringify(column)}` }],
      'Task "arxiv"',
    )
  const rewards = writingRewards<ArxivItem>('arxiv', arxivThresholds[column], options.rules)
  const splits = await loadSplits('arxiv', options, 'abstract_text')
  return defineTask<ArxivItem>({
    name: 'arxiv',
    agents: ['background', 'method'],
    ...splits,
    observe: (item, agent) => asPrompt(agent === 0 ? backgroundPrompt(item) : methodPrompt(item), chat),
    ...rewards,
    baselines: arxivBaselines,
    defaults: { maxNewTokens: 256, temperature: 0.7, topP: 0.9 },
  })
}

const backgroundPrompt = (item: ArxivItem) =>
  `This is the abstract of a scientific paper.

${item.abstract_text.trim()}

Expand it into the first part of the paper's introduction: the background of the problem and why it matters. Another author writes about the method and the implications, so leave these out.

Background and motivation:`

const methodPrompt = (item: ArxivItem) =>
  `This is the abstract of a scientific paper.

${item.abstract_text.trim()}

Expand it into the second part of the paper's introduction: the method and what follows from the results. Another author writes about the background and the motivation, so leave these out.

Method and implications:`
