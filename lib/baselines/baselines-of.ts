import { MagrpoError } from '../errors.ts'
import type { Task } from '../tasks/types.ts'
import { codeBaselines } from './code.ts'
import { type BaselineName, baselineNames, type TaskBaselines } from './types.ts'
import { arxivBaselines, storyBaselines, tldrBaselines } from './writing.ts'

/** Baselines of built-in tasks by name; the code tasks are known by their items. */
const byName: Record<string, unknown> = {
  tldr: tldrBaselines,
  arxiv: arxivBaselines,
  story: storyBaselines,
}

/** The prompts of a task's baselines: its own, those of the built-in task of that name, or none. */
export function baselinesOf<Item>(task: Task<Item>): TaskBaselines<Item> {
  if (task.baselines !== undefined) return task.baselines
  const known = Object.hasOwn(byName, task.name) ? byName[task.name] : undefined
  if (known !== undefined) return known as TaskBaselines<Item>
  return isCodeTask(task) ? (codeBaselines(task.agents.length) as TaskBaselines<unknown>) : {}
}

function isCodeTask({ agents, items }: Task<never> | Task): boolean {
  const names = agents.join()
  const item = (items[0] ?? {}) as Record<string, unknown>
  return (names === 'aux,main' || names === 'main') && ['prompt', 'test', 'entry_point'].every((field) => field in item)
}

/**
 * @throws MagrpoError `ERR_TASK` if a task has no prompts for a baseline, naming those it has
 */
export function checkBaseline<Item>(task: Task<Item>, baseline: BaselineName): void {
  const known = baselinesOf(task)
  const playable = baselineNames.filter((name) => name === 'parallel' || known[name] !== undefined)
  if (playable.includes(baseline)) return
  throw new MagrpoError(
    'ERR_TASK',
    `Expected task '${task.name}' to have prompts for the baseline ${baseline}, but it has them for ${playable.join(', ')} only. ` +
      `Give the task a field baselines with ${baseline}.`,
    { details: { task: task.name, baseline } },
  )
}
