/** The trainer on a real, small model: what the table engine cannot show. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { backendOf } from '../../lib/rl/team/policy-engine.ts'
import { Team } from '../../lib/rl/team/team.ts'
import type { TrainOptions } from '../../lib/rl/train-options.ts'
import type { StepReport } from '../../lib/rl/types/reports.ts'
import type { TrainGroup } from '../../lib/rl/update/train-groups.ts'
import { accumulate } from '../../lib/rl/update/update.ts'
import { evaluate } from '../../lib/session/evaluate.ts'
import { train } from '../../lib/session/train.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import { policyTensors } from '../support/native-golden.ts'
import { asciiModel } from '../support/tiny-model.ts'

const names = ['left', 'right']

/** Reward 1 if one agent's first token is even and the other's is odd: what is right depends on the partner. */
const parityTask = defineTask({
  name: 'parity',
  agents: names,
  items: ['One day', 'The'],
  heldOut: ['She'],
  observe: (item) => item,
  reward: (_, joint) => Math.abs((joint[0]!.ids[0]! % 2) - (joint[1]!.ids[0]! % 2)),
  defaults: { maxNewTokens: 2 },
  maxReward: 1,
})

async function withTeam(work: (team: Team, base: Model) => Promise<void>): Promise<void> {
  const folder = asciiModel()
  await using base = await Model.load(folder, { device: 'cpu', dtype: 'float32' })
  await using team = await Team.adapters(base, names, { rank: 4, seed: 1 })
  await work(team, base)
}

async function reportsOf(options: Partial<TrainOptions<string>> & { team: Team }): Promise<StepReport[]> {
  const reports: StepReport[] = []
  const run = train({
    task: parityTask,
    algorithm: magrpo({ groupSize: 8 }),
    optimizer: { learningRate: 5e-3 },
    steps: 1,
    promptsPerStep: 4,
    ...options,
  })
  for await (const report of run) reports.push(report)
  return reports
}

const meanReward = (reports: readonly StepReport[]) =>
  reports.reduce((sum, { metrics }) => sum + metrics['reward/mean']!, 0) / reports.length

for (const jointMode of ['align', 'cross'] as const) {
  test.serial(`${jointMode}: two adapters over one base learn what neither can do alone`, async (t) => {
    await withTeam(async (team, base) => {
      const prompts = ['One day']
      await using frozen = Policy.base(base)
      const untrained = await frozen.generate(prompts, { temperature: 0, maxNewTokens: 8 })
      const algorithm = magrpo({ groupSize: 8, jointMode })
      const reports = await reportsOf({ team, algorithm, steps: 30, optimizer: { learningRate: 2e-2 } })
      const [before, after] = [meanReward(reports.slice(0, 4)), meanReward(reports.slice(-4))]
      t.log(`reward ${before.toFixed(2)} to ${after.toFixed(2)}`)
      t.true(before < 0.75)
      t.true(after > 0.9)
      for (const { metrics } of reports) t.true(metrics['train/log_prob_difference_max']! < 1e-4)
      const { metrics } = await evaluate({ team, task: parityTask, items: parityTask.items, samples: 16, seed: 9 })
      t.true(metrics['eval/reward/mean']! > 0.85)
      t.deepEqual(
        (await frozen.generate(prompts, { temperature: 0, maxNewTokens: 8 }))[0]!.samples,
        untrained[0]!.samples,
      )
    })
  })
}

test.serial('minibatches and micro-batches have the gradient of the whole step', async (t) => {
  await withTeam(async (team) => {
    const { engine } = backendOf(team)
    const ids = (text: number) =>
      Int32Array.from({ length: 3 + (text % 4) }, (_, i) => 10 + ((7 * text + 13 * i) % 100))
    const groups = Array.from({ length: 8 }, (_, number): TrainGroup => {
      const completions = [0, 1, 2, 3].map((g) => {
        const own = ids(4 * number + g)
        return { ids: own, weights: new Float32Array(own.length).fill([-2, -1, 0.5, 2.5][g]! / 16) }
      })
      const sampledLogProbs = completions.map((completion) => new Float32Array(completion.ids.length))
      return { group: { policy: number % 2, promptIds: ids(number >> 1), completions }, sampledLogProbs }
    })
    const gradients: Float32Array[] = []
    for (const cut of [{ minibatches: 1 }, { minibatches: 3 }, { minibatches: 8, maxTokensPerMicroBatch: 8 }]) {
      for (const policy of [0, 1]) await engine.zeroGrad(policy)
      await accumulate(engine, groups, cut)
      const tensors = await policyTensors(team.agents[1]!.policy.native!, 'gradients')
      gradients.push(Float32Array.from([...tensors.values()].flatMap((tensor) => [...tensor])))
    }
    const norm = Math.hypot(...gradients[0]!)
    t.true(norm > 1e-3)
    for (const gradient of gradients.slice(1)) {
      const difference = Math.hypot(...gradient.map((value, i) => value - gradients[0]![i]!)) / norm
      t.log(`relative difference ${difference.toExponential(1)}`)
      t.true(difference < 1e-6)
    }
  })
})

test.serial('the same seed samples the same, in another batch too', async (t) => {
  const texts: string[][] = []
  for (const logSamples of [4, 4, 1]) {
    await withTeam(async (team) => {
      const [report] = await reportsOf({ team, logSamples, promptsPerStep: logSamples })
      texts.push(report!.samples.flatMap(({ agents }) => agents.map(({ completion }) => completion)))
    })
  }
  t.deepEqual(texts[1], texts[0])
  t.deepEqual(texts[2], texts[0]?.slice(0, 16))
})

test.serial('an aborted run leaves a team that can be trained and saved', async (t) => {
  await withTeam(async (team) => {
    const controller = new AbortController()
    const reason = new Error('enough')
    const task = defineTask({
      ...parityTask,
      reward: () => {
        controller.abort(reason)
        return 1
      },
    })
    await t.throwsAsync(reportsOf({ team, task, signal: controller.signal }), { is: reason })
    t.is((await reportsOf({ team })).length, 1)
    const directory = mkdtempSync(join(tmpdir(), 'magrpo-team-'))
    try {
      await team.save(directory)
      for (const name of names) t.true(existsSync(join(directory, name, 'adapter_model.safetensors')))
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})

test.serial('teams of given members: shared policies, refused names and models', async (t) => {
  await withTeam(async (team, base) => {
    const policy = team.agents[0]!.policy
    const shared = await Team.of([
      { name: 'a', policy },
      { name: 'b', policy },
    ])
    t.is(shared.policies.length, 1)
    await shared.dispose()
    t.is((await policy.generate(['One'], { maxNewTokens: 1 })).length, 1)
    await t.throwsAsync(Team.of([{ name: '../a', policy }]), { code: 'ERR_ARGUMENT', message: /it names a folder/ })
    await t.throwsAsync(Team.adapters(base, ['a', 'a']), { code: 'ERR_ARGUMENT', message: /received 'a' twice/ })
    await t.throwsAsync(Team.adapters(base, []), { code: 'ERR_ARGUMENT', message: /at least one agent/ })
    await t.throwsAsync(
      Team.of([
        { name: 'a', model: base },
        { name: 'b', model: base },
      ]),
      { code: 'ERR_ARGUMENT', message: /same for 'a' and 'b'/ },
    )
  })
})
