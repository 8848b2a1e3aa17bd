/** What the untrained model can do in every situation of mini-code, on validation problems. */
import { playBaseline } from '../../lib/compare/play-baseline.ts'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { Team } from '../../lib/rl/team/team.ts'
import { evaluate } from '../../lib/session/evaluate.ts'
import { conventionEntropy } from '../../lib/tasks/mini-code/convention.ts'
import { createJudge } from '../../lib/tasks/mini-code/judge.ts'
import { miniCodeFeedbacks } from '../../lib/tasks/mini-code/options.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'

const problems = 200
const samples = 4

/** Prints pass rates of first turns, second turns and baselines, at temperature 1. */
export async function check(folder: string): Promise<void> {
  await using model = await Model.load(folder, { device: 'cpu' })
  const policy = Policy.base(model)
  await using team = await Team.of(['aux', 'main'].map((name) => ({ name, policy })))
  const judge = createJudge({})
  const sandbox = await judge.sandbox()
  try {
    for (const feedback of miniCodeFeedbacks) {
      const task = miniCode({ heldOut: problems, feedback, sandbox, experiments: 0 })
      const report = await evaluate({ team, task, samples, greedy: false, turns: 2, seed: 1, logSamples: problems })
      const turns = [1, 2].map((turn) => report.metrics[`eval/reward/turn_${turn}/mean`]!.toFixed(3))
      console.log(`two turns, ${feedback}: ${turns.join(' then ')} pass`)
      if (feedback !== miniCodeFeedbacks[0]) continue
      const first = report.samples.filter(({ turn }) => turn === 0)
      const agreed = first.filter(({ metrics }) => metrics['convention/agree'] === 1)
      const passed = agreed.filter(({ reward }) => reward === 1).length
      console.log(`one turn, where both follow one convention: ${(passed / agreed.length).toFixed(3)} pass`)
      const means = Object.fromEntries(
        Object.keys(first[0]!.metrics).map((name) => [
          name,
          first.reduce((sum, { metrics }) => sum + metrics[name]!, 0) / first.length,
        ]),
      )
      for (const agent of ['aux', 'main'] as const)
        console.log(`entropy of the convention of ${agent}: ${conventionEntropy(means, agent).toFixed(3)} bits`)
    }
    const task = miniCode({ heldOut: problems, sandbox })
    for (const baseline of ['pipeline', 'discussion'] as const) {
      const played = await playBaseline({ team, task, baseline, samples, seed: 1 })
      const passed = played.filter(({ reward }) => reward === 1).length
      console.log(`${baseline}: ${(passed / played.length).toFixed(3)} pass`)
    }
    await using one = await Team.of([{ name: 'main', policy }])
    const alone = await playBaseline({ team: one, task, baseline: 'single', samples, seed: 1 })
    const { signal } = new AbortController()
    let passed = 0
    for (const { item, joint } of alone) {
      const { tests } = await judge.verdict(task.heldOut![item]!, '', joint[1]!.text, signal)
      if (tests !== null && tests.passed === tests.total) passed++
    }
    console.log(`single model, without a helper: ${(passed / alone.length).toFixed(3)} pass their tests`)
  } finally {
    await judge.dispose()
  }
}
