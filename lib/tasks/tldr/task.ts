/** Summarising a Reddit post twice: one agent briefly, the other at about twice the length. */

import { readOptions } from '../../base/validate.ts'
import { dataKeys, loadSplits } from '../datasets/load.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { type WritingOptions, writingSettings } from '../writing/options.ts'
import { tldrThresholds } from '../writing/reward.ts'
import { asPrompt, writingRewards } from '../writing/writing-task.ts'
import { post, tldrBaselines } from './baselines.ts'
import { type TldrItem, tldrData } from './options.ts'

/**
 * The TLDR task of MAGRPO: agent `summarizer` writes a brief summary of a post, agent `elaborator` a detailed one,
 * without seeing each other. Neither is told how their lengths should relate; the reward teaches it.
 *
 * @returns a promise, since files are read asynchronously; `train` takes it as it is
 * @throws MagrpoError `ERR_DATA` if a file cannot be read or an item has no `prompt`
 * @example
 * ```ts
 * const task = await tasks.tldr({ train: 'tldr-train.jsonl', heldOut: { file: 'tldr-eval.jsonl', limit: 100 } })
 * ```
 */
export async function tldr(options: WritingOptions<TldrItem>): Promise<Task<TldrItem>> {
  const { chat, rules } = readOptions('Task "tldr"', writingSettings, options, dataKeys)
  const splits = await loadSplits(options, { published: tldrData, fields: ['prompt'], log: options.log })
  return defineTask<TldrItem>({
    name: 'tldr',
    agents: ['summarizer', 'elaborator'],
    ...splits,
    observe: (item, agent) => asPrompt(agent === 0 ? briefPrompt(item) : detailedPrompt(item), chat),
    ...writingRewards<TldrItem>('tldr', tldrThresholds, rules),
    baselines: tldrBaselines,
    defaults: { maxNewTokens: 256, temperature: 0.7, topP: 0.9 },
  })
}

const briefPrompt = (item: TldrItem) =>
  `Here is a post from Reddit.

${post(item)}

Summarize the post in one or a few sentences. Keep to the facts, leave out side matters, and make each word count.

Brief summary:`

const detailedPrompt = (item: TldrItem) =>
  `Here is a post from Reddit.

${post(item)}

Write a detailed summary of the post. Use a rich and varied vocabulary, and connect your sentences with some transition words.

Detailed summary:`
