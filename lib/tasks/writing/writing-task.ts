/** What the writing tasks have in common: two agents, one turn, and a reward that reads only the texts. */

import { ConfigError } from '../../base/errors.ts'
import { type DataSource, loadSource } from '../datasets/load.ts'
import type { Task } from '../task/types.ts'
import { writingMeter } from './columns.ts'
import type { WritingRules, WritingThresholds } from './reward.ts'
import { maxWritingReward, scoreWriting, textPair, writingMetrics } from './reward.ts'

/** Where items come from: a file, a data set of the hub, a part of one (see {@link DataSource}), or the items themselves. */
export type ItemSource<Item> = DataSource | readonly Item[]

/** Options that the writing tasks with data share. */
export interface WritingOptions<Item> {
  /** The items to train on. */
  train: ItemSource<Item>
  /** Held-out items for evaluation. Defaults to none. */
  heldOut?: ItemSource<Item>
  /** Which rule set scores. Defaults to `strict`. */
  rules?: WritingRules
  /**
   * Whether prompts are user messages that go through the model's chat template (instruct models), or plain text as in
   * the paper's experiments. Defaults to `false`.
   */
  chat?: boolean
  /** Told of downloads. */
  log?: (message: string) => void
}

/**
 * Loads the items of a task; `field` must be there as a string in each.
 *
 * @throws MagrpoError `ERR_DATA`, see {@link loadSource}
 */
export async function loadSplits<Item>(
  task: 'tldr' | 'arxiv',
  options: WritingOptions<Item>,
  field: string,
): Promise<Pick<Task<Item>, 'items' | 'heldOut'>> {
  const load = (source: ItemSource<Item>, part: 'train' | 'heldOut') =>
    Array.isArray(source)
      ? (source as readonly Item[])
      : loadSource<Item>(source as DataSource, { task, part, fields: [field], log: options.log })
  const items = await load(options.train, 'train')
  return options.heldOut === undefined ? { items } : { items, heldOut: await load(options.heldOut, 'heldOut') }
}

/** The parts of a task that follow from its thresholds and rules. */
export function writingRewards<Item>(
  name: string,
  thresholds: WritingThresholds,
  rules: WritingRules = 'strict',
): Pick<Task<Item>, 'reward' | 'metrics' | 'columns' | 'maxReward'> {
  if (rules !== 'paper' && rules !== 'strict')
    throw new ConfigError(
      [{ path: 'rules', message: `expected "paper" or "strict" but received ${JSON.stringify(rules)}` }],
      `Task "${name}"`,
    )
  return {
    reward: (_item, joint) => scoreWriting(...textPair(joint, name), thresholds, rules),
    metrics: (_item, joint) => writingMetrics(...textPair(joint, name), thresholds, rules),
    columns: ({ agents }) => (agents.length === 2 ? writingMeter(thresholds, rules) : null),
    maxReward: maxWritingReward,
  }
}

/** A prompt as plain text or as one user message. */
export function asPrompt(text: string, chat: boolean): ReturnType<Task['observe']> {
  return chat ? [{ role: 'user', content: text }] : text
}
