// A team of different models: each agent has its own architecture, its own tokenizer and its own way of training.
//
//   npx tsx examples/two-models.ts path/to/a/model path/to/another
//
// Without arguments both are made of the models inside the package: one trains all of its weights, the other an adapter.
import { defineTask, Model, magrpo, Policy, Team, train } from 'magrpo'

const [one = 'builtin:mini-code', other = 'builtin:mini-code'] = process.argv.slice(2)

await using first = await Model.load(one)
await using second = await Model.load(other)
await using team = await Team.of([
  { name: 'brief', model: first }, // all weights
  { name: 'wordy', policy: await Policy.lora(second, { rank: 8 }) },
])

const task = defineTask({
  name: 'brief-and-wordy',
  agents: ['brief', 'wordy'],
  items: ['Once upon a time', 'def solve(xs):\n', 'One day'],
  observe: (opening) => opening, // text: each model's own tokenizer reads it
  reward: (_item, [brief, wordy]) => Math.tanh((wordy!.ids.length - brief!.ids.length) / 10),
})

const run = train({
  team,
  task,
  algorithm: magrpo({ groupSize: 8 }),
  sampling: { maxNewTokens: 24 },
  optimizer: { learningRate: 1e-3 },
  steps: Number(process.env.STEPS ?? 20),
  promptsPerStep: 3,
})
for await (const { index, metrics } of run)
  console.log(
    index,
    `reward ${metrics['reward/mean']}`,
    `tokens ${metrics['completion/length_mean/brief']} and ${metrics['completion/length_mean/wordy']}`,
  )
