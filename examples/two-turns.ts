// Several turns with feedback: two agents write one short program, are told what was wrong with it, and write again.
//
//   npx tsx examples/two-turns.ts
//
// What an agent reads in a later turn is up to the task's transition. Here that is its own last answer and one line about the whole.
import { defineTask, Model, magrpo, Team, train } from 'magrpo'

const idea = (text: string) => text.split('\n')[0]! // the model inside the package begins with what its helper is to do
const first = '# write aux\n'

const task = defineTask({
  name: 'two-turns',
  agents: ['left', 'right'],
  items: ['sum', 'largest', 'smallest', 'first', 'last'].map((fold) => ({
    text: `def solve(xs):\n    """Return the ${fold} of the squares of the even numbers."""\n`,
  })),
  observe: ({ text }) => text + first,
  reward: (_item, [left, right]) => Number(idea(left!.text) === idea(right!.text)),
  // Called for each joint completion of a turn that goes on; history has all turns so far, this one included.
  transition: ({ text }, joint, history) => {
    const agree = idea(joint[0]!.text) === idea(joint[1]!.text)
    if (agree) return 'stop'
    return {
      prompts: joint.map((own) => `${text}${own.text.trimEnd()}\n# not all passed\n# write aux again\n`),
      metrics: { revisions: history.length },
    }
  },
})

await using model = await Model.load('builtin:mini-code')
await using team = await Team.adapters(model, task.agents, { rank: 8 })
const run = train({
  team,
  task,
  algorithm: magrpo({ groupSize: 4, turns: 2, discount: 0.9 }), // 4 joint completions, and 4 more below each that goes on
  sampling: { maxNewTokens: 8 },
  optimizer: { learningRate: 3e-3, schedule: 'linear' },
  steps: Number(process.env.STEPS ?? 20),
  promptsPerStep: 5,
})
for await (const { index, metrics } of run)
  console.log(
    index,
    `turn 1: ${metrics['reward/turn_1/mean'] ?? metrics['reward/mean']}`,
    `turn 2: ${metrics['reward/turn_2/mean'] ?? 'not needed'}`,
  )
