// An ES module in plain JavaScript.
import { defineTask, MagrpoError, Model, magrpo, Team, train } from 'magrpo'

const task = defineTask({
  name: 'lengths',
  agents: ['short', 'long'],
  items: ['def solve(xs):\n'],
  observe: (item) => item,
  reward: (_item, [short, long]) => Math.tanh((long.text.length - short.text.length) / 10),
})
const model = await Model.load('builtin:mini-code')
const team = await Team.adapters(model, task.agents, { rank: 2 })
try {
  const run = train({
    team,
    task,
    algorithm: magrpo({ groupSize: 2 }),
    sampling: { maxNewTokens: 4 },
    optimizer: { learningRate: 1e-3 },
    steps: 1,
  })
  for await (const { index, metrics } of run) console.log(index, Number.isFinite(metrics['reward/mean']))
  await Model.load('not/a/folder/anywhere').catch((error) => console.log(error instanceof MagrpoError, error.code))
} finally {
  await team.dispose()
  await model.dispose()
}
