/** Whether every first prompt of a run can be used: asked before the run begins, not at the step that draws it. */
import { setImmediate as turnOfTheLoop } from 'node:timers/promises'
import { MagrpoError } from '../../base/errors.ts'
import type { Task } from '../../tasks/task/types.ts'
import type { TrainingBackend } from '../backend/training-backend.ts'
import type { ResolvedTrainOptions } from '../types/options.ts'
import type { ItemOrder } from './item-order.ts'
import { firstPrompt, withPlace } from './task-calls.ts'

/** Milliseconds after which others get the thread. */
const sliceMs = 10

/**
 * Looks at the first prompts of all items that the run will train on or evaluate.
 *
 * @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_PROMPT_TOO_LONG`, `ERR_TASK`, naming agent and item; the signal's reason
 */
export async function checkFirstPrompts(
  backend: TrainingBackend,
  task: Task,
  options: ResolvedTrainOptions,
  order: ItemOrder,
  signal: AbortSignal,
): Promise<void> {
  const drawn = new Set<number>()
  for (let step = 1; step <= options.steps && drawn.size < task.items.length; step++)
    for (const { item } of order.step(step)) drawn.add(item)
  const heldOut = options.evalEvery > 0 ? (task.heldOut ?? []).slice(0, options.evalItems) : []
  const places = [
    ...[...drawn].map((item) => ({ items: task.items, item, isHeldOut: false })),
    ...heldOut.map((_, item) => ({ items: heldOut, item, isHeldOut: true })),
  ]
  let sliceEnd = performance.now() + sliceMs
  for (const { items, item, isHeldOut } of places) {
    for (const [agent, name] of task.agents.entries()) {
      const prompt = firstPrompt(task, items, item, agent)
      try {
        backend.checkPrompt?.(agent, prompt)
      } catch (error) {
        if (!(error instanceof MagrpoError)) throw error
        throw withPlace(error, { task: task.name, agent: name, item, turn: 0, isHeldOut })
      }
    }
    if (performance.now() < sliceEnd) continue
    await turnOfTheLoop()
    signal.throwIfAborted()
    sliceEnd = performance.now() + sliceMs
  }
}
