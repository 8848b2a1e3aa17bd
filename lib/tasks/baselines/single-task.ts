/** A team's task as the task of one model that writes everything, so that it can be trained (GRPO) like any other. */

import { ConfigError } from '../../base/errors.ts'
import { readOptions } from '../../base/validate.ts'
import { samplingDefaults } from '../../model/sampling.ts'
import { expectTask } from '../task/check-task.ts'
import type { Joint } from '../task/completion.ts'
import { defineTask } from '../task/define-task.ts'
import type { Task } from '../task/types.ts'
import { type SingleTaskOptions, singleTaskOptions } from './options.ts'
import { baselinePlan, undivided } from './rounds.ts'

/**
 * The task of the `single` baseline: one agent, the baseline's prompt, and the team's reward on the parts of its answer.
 *
 * @throws MagrpoError `ERR_TASK` if the task has no prompt for it; ConfigError for `cut` where the task cannot cut
 */
export function singleTask<Item>(task: Task<Item>, options: SingleTaskOptions = {}): Task<Item> {
  expectTask(task, 'singleTask')
  const { missingDelimiter } = readOptions('The single model', singleTaskOptions, options)
  const plan = baselinePlan(task, 'single')
  const { cut } = plan
  if (missingDelimiter === 'cut' && cut === undefined) {
    const message = `task '${task.name}' has no way to cut an answer; use strict`
    throw new ConfigError([{ path: 'missingDelimiter', message }], 'The single model')
  }
  const divide = (joint: Joint): Joint =>
    (missingDelimiter === 'cut' ? cut!([joint], 0) : plan.joint([joint])) ?? undivided(task, joint[0]!)
  const { metrics, dispose, defaults, batch, transition: _transition, baselines: _baselines, ...rest } = task
  const limit = defaults?.maxNewTokens ?? samplingDefaults.maxNewTokens
  return defineTask<Item>({
    ...rest,
    name: `${task.name}-single`,
    agents: plan.players,
    observe: (item) => plan.prompt(item, 0, 0, []),
    reward: batch
      ? { per: batch.per, rewards: (items, joints, context) => batch.rewards(items, joints.map(divide), context) }
      : (item, joint, context) => task.reward(item, divide(joint), context),
    metrics: (item, joint) => ({
      divided: plan.joint([joint]) === null ? 0 : 1,
      ...metrics?.call(task, item, divide(joint)),
    }),
    defaults: { ...defaults, maxNewTokens: Math.round(limit * plan.budget) },
    baselines: {},
    ...(dispose && { dispose: () => dispose.call(task) }),
  })
}
