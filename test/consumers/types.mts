// TypeScript, as an ES module: what users write type-checks, and what they get wrong does not.
import { defineTask, type EvalReport, Model, magrpo, type StepReport, Team, type Tracker, train } from 'magrpo'

const task = defineTask({
  name: 'lengths',
  agents: ['short', 'long'],
  items: [{ opening: 'def solve(xs):\n' }],
  observe: (item) => item.opening,
  reward: (item, joint) => ({ total: joint.length + item.opening.length, parts: { first: joint[0]!.text.length } }),
})

class Lines implements Tracker {
  name = 'lines'
  start(): void {}
  step({ index, metrics }: StepReport): void {
    console.log(index, Number.isFinite(metrics['reward/mean']))
  }
  evaluation(_report: EvalReport): void {}
  end(): void {}
}

await using model = await Model.load('builtin:mini-code')
await using team = await Team.adapters(model, ['short', 'long'], { rank: 2 })
const run = train({
  team,
  task,
  algorithm: magrpo({ groupSize: 2 }),
  sampling: { maxNewTokens: 4 },
  optimizer: { learningRate: 1e-3 },
  steps: 1,
  trackers: [new Lines()],
})
await run.result

/** Never called: what the compiler has to refuse. */
export function mistakes(): void {
  // @ts-expect-error an algorithm has no such option
  magrpo({ groupsize: 2 })
  // @ts-expect-error an optimizer needs a learning rate
  train({ team, task, optimizer: {}, steps: 1 })
  // @ts-expect-error items have no such field
  defineTask({ ...task, items: [{ opening: 'a' }], observe: (item) => item.closing })
}
