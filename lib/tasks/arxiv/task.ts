/** Expanding an abstract into the introduction of a paper: one agent each for its two halves. */

import { readOptions } from '../../base/validate.ts'
import { dataKeys, loadSplits } from '../datasets/load.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { writingSettings } from '../writing/options.ts'
import { arxivThresholds } from '../writing/reward.ts'
import { asPrompt, writingRewards } from '../writing/writing-task.ts'
import { arxivBaselines } from './baselines.ts'
import { type ArxivItem, type ArxivOptions, arxivData, arxivSettings } from './options.ts'

/**
 * The arXiv task of MAGRPO: agent `background` writes background and motivation of an introduction, agent `method` its
 * method and implications, without seeing each other. Scored for equal shares, one style and little repetition.
 *
 * @returns a promise, since files are read asynchronously; `train` takes it as it is
 * @throws MagrpoError `ERR_DATA` if a file cannot be read or an item has no `abstract_text`
 * @example
 * ```ts
 * const task = await tasks.arxiv({ train: 'arxiv-train.jsonl', rules: 'paper' })
 * ```
 */
export async function arxiv(options: ArxivOptions): Promise<Task<ArxivItem>> {
  const { chat, rules, thresholds } = readOptions(
    'Task "arxiv"',
    { ...writingSettings, ...arxivSettings },
    options,
    dataKeys,
  )
  const splits = await loadSplits(options, { published: arxivData, fields: ['abstract_text'], log: options.log })
  return defineTask<ArxivItem>({
    name: 'arxiv',
    agents: ['background', 'method'],
    ...splits,
    observe: (item, agent) => asPrompt(agent === 0 ? backgroundPrompt(item) : methodPrompt(item), chat),
    ...writingRewards<ArxivItem>('arxiv', arxivThresholds[thresholds], rules),
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
