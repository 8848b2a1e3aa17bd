// The same as story.yaml through the API. Run it with: node --import=tsx examples/train-story.ts
import { Model, magrpo, modelFolder, Team, tasks, train } from 'magrpo'

await using base = await Model.load(modelFolder('fixture:stories260K'))
await using team = await Team.adapters(base, ['short', 'long'], { rank: 16 })

const run = train({
  team,
  task: tasks.story(),
  algorithm: magrpo({ groupSize: 8 }),
  sampling: { maxNewTokens: 200 },
  optimizer: { learningRate: 1e-3, maxGradNorm: 1 },
  steps: 20,
  promptsPerStep: 4,
  runDir: 'runs/story-api',
})
for await (const step of run) console.log(step.index, step.metrics['reward/mean'])
