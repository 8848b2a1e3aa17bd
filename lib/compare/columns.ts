/** The score columns of a comparison: the task's own, else the parts of its reward. */
import type { ColumnMeter } from '../tasks/task/columns.ts'
import type { Task } from '../tasks/task/types.ts'

/** The meter of a task's columns. */
export function columnMeter(task: Task): ColumnMeter {
  return task.columns?.(task) ?? rewardMeter(task)
}

function rewardMeter({ maxReward }: Task): ColumnMeter {
  return {
    kind: 'task',
    columns: null,
    measure: async (_item, _texts, { reward, parts }) => ({
      columns: { ...parts, return: maxReward === undefined || reward === null ? reward : reward / maxReward },
      passed: null,
    }),
    dispose: async () => {},
  }
}
