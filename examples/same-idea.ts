// Your own task and reward, trained in seconds with the model inside the package. Run it with: npx tsx examples/same-idea.ts
import { defineTask, type Joint, Model, magrpo, Team, train } from 'magrpo'

const functions = ['sum', 'largest', 'smallest', 'first', 'last'].map((fold) => ({
  text: `the ${fold} of the squares of the even numbers`,
}))
const ideas = (joint: Joint) => joint.map(({ text }) => text.split('\n')[0]!) // the first line names the idea of the helper

const task = defineTask({
  name: 'same-idea',
  agents: ['left', 'right'],
  items: functions,
  observe: ({ text }) => `def solve(xs):\n    """Return ${text}."""\n# write aux\n`, // each agent sees this, and nothing of the other
  reward: (_item, joint) => {
    const [left, right] = ideas(joint)
    return { total: Number(left === right), parts: { tests: Number(left === '# aux tests') } }
  },
})

await using model = await Model.load('builtin:mini-code')
await using team = await Team.adapters(model, task.agents, { rank: 8 })
const run = train({
  team,
  task,
  algorithm: magrpo({ groupSize: 16 }),
  sampling: { maxNewTokens: 8 },
  optimizer: { learningRate: 3e-3, schedule: 'linear' },
  steps: 20,
  promptsPerStep: 5,
})
for await (const { index, metrics } of run) console.log(index, metrics['reward/mean'])
