import { defineTask } from '../define-task.ts'
import type { Task } from '../types.ts'
import { type CodeItem, checkCodeItem } from './item.ts'
import { codePrompt } from './prompts.ts'
import { type CodeRewardOptions, createCodeReward } from './reward.ts'

/** Options of {@link codeTask}. */
export interface CodeTaskOptions extends CodeRewardOptions {
  /** The problems trained on. */
  items: readonly CodeItem[]
  /** Held-out problems for evaluation. */
  heldOut?: readonly CodeItem[]
  /** Name used in run folders and metrics. Defaults to `code`. */
  name?: string
  /** `2` (default): the first writes `aux`, the second the entry point. `1`: the entry point only. */
  agents?: 1 | 2
}

/**
 * A task of problems of the HumanEval form, scored by {@link createCodeReward}. The sandbox starts at the first reward and
 * ends with the task's `dispose()`.
 *
 * @throws MagrpoError `ERR_DATA` naming the problem and the field that is missing
 */
export function codeTask(options: CodeTaskOptions): Task<CodeItem> {
  const { items, heldOut, name = 'code', agents = 2, ...rewardOptions } = options
  for (const [list, problems] of Object.entries({ items, heldOut: heldOut ?? [] }))
    for (const [index, item] of problems.entries()) checkCodeItem(item, `${list}[${index}]`)
  const reward = createCodeReward(rewardOptions)
  return defineTask<CodeItem>({
    name,
    agents: agents === 1 ? ['main'] : ['aux', 'main'],
    items,
    heldOut,
    observe: (item, agent) => codePrompt(item, agent, agents),
    reward: (item, joint, { signal }) =>
      reward.score(
        item,
        joint.map((completion) => completion.text),
        signal,
      ),
    maxReward: reward.maxReward(agents),
    defaults: { maxNewTokens: 256 },
    dispose: () => reward.dispose(),
  })
}
