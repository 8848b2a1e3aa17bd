/** Rewards without information leave the sampled distribution's entropy where it is, as far as they do at temperature 1. */
import test from 'ava'
import { defineTask, Model, mareinforce, maremax, Team, train } from '../../lib/index.ts'
import type { Sampling } from '../../lib/model/sampling.ts'
import { goldenModel } from '../support/golden-models.ts'

const seeds = 1
const settings: Sampling[] = [
  { temperature: 0.5 },
  { temperature: 0.7 },
  { temperature: 1.5 },
  { topP: 0.9 },
  { minP: 0.1 },
  { topK: 20 },
  { repetitionPenalty: 1.3 },
]

/** `mareinforce` sees advantages that are all 1, `maremax` some that are never above 0. */
const algorithms = {
  mareinforce: { make: mareinforce, reward: () => 1 },
  maremax: { make: maremax, reward: (id: number) => 1 + 0.1 * ((Math.imul(id, 2654435761) >>> 0) / 2 ** 32) },
}

/** Mean change of the sampled distribution's entropy over 25 steps, in nats. */
async function drift(model: Model, name: keyof typeof algorithms, sampling: Sampling, logProbs: 'sampler' | 'model') {
  const { make, reward } = algorithms[name]
  let total = 0
  for (let seed = 0; seed < seeds; seed++) {
    const team = await Team.adapters(model, ['a'], { rank: 8, seed })
    const task = defineTask({
      name: 'no-information',
      agents: ['a'],
      items: [3, 14, 15, 92].map((id) => Int32Array.of(id, 6, 5)),
      observe: (item) => item as unknown as string,
      reward: (_, [completion]) => reward(completion!.ids.at(-1)!),
    })
    const entropies: number[] = []
    const run = train({
      team,
      task,
      seed,
      algorithm: make({ groupSize: 16, logProbs }),
      sampling: { maxNewTokens: 16, stopIds: [], ...sampling },
      // Logits move by the gradient, which is one by logits / temperature.
      optimizer: { learningRate: 3e-3 * (sampling.temperature ?? 1), weightDecay: 0, maxGradNorm: 1 },
      steps: 25,
      promptsPerStep: 4,
    })
    for await (const { metrics } of run) entropies.push(metrics['policy/entropy']!)
    total += entropies.at(-1)! - entropies[0]!
    await team.dispose()
  }
  return total / seeds
}

for (const name of ['mareinforce', 'maremax'] as const)
  test(`${name}: entropy stays, whatever the sampler`, async (t) => {
    t.timeout(600_000)
    const model = await Model.load(goldenModel('llama'))
    const plain = Math.abs(await drift(model, name, {}, 'sampler'))
    const bound = Math.max(0.3, 2 * plain)
    for (const sampling of settings) {
      const moved = await drift(model, name, sampling, 'sampler')
      t.true(Math.abs(moved) <= bound, `${JSON.stringify(sampling)}: ${moved}, and ${plain} at temperature 1`)
    }
    if (name === 'mareinforce') {
      // The check can fail: log-probs of temperature 1 on samples of another.
      const away = await drift(model, name, { temperature: 0.5 }, 'model')
      t.true(Math.abs(away) > bound, `${away} with log-probs of temperature 1`)
    }
    await model.dispose()
  })
