/** What the model in models/mini-code can do before any training with rewards, at temperature 0 on validation problems. */
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { auxConvention, mainConvention } from '../../lib/tasks/mini-code/convention.ts'
import { createJudge, type Judge } from '../../lib/tasks/mini-code/judge.ts'
import { miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { revisionPrompt } from '../../lib/tasks/mini-code/prompts.ts'
import { auxSolution, conventions, mainSolution } from '../../lib/tasks/mini-code/solutions.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import type { Completion } from '../../lib/tasks/task/completion.ts'

const folder = fileURLToPath(new URL('../../models/mini-code/', import.meta.url))
const { signal } = new AbortController()
const { pipeline, discussion, single } = miniCode({ train: 1, heldOut: 0 }).baselines!
const problems = miniCodeProblems().validation.slice(0, 60)
const cases = problems.map((item, index) => ({ item, convention: conventions[index % conventions.length]! }))
const said = (text: string): Completion => ({ text, ids: new Int32Array(), finish: 'stop', logProbSum: 0 })

let model: Model
let policy: Policy
let judge: Judge
test.before(async () => {
  model = await Model.load(folder, { device: 'cpu' })
  policy = Policy.base(model)
  judge = createJudge({})
})
test.after.always(async () => {
  await judge?.dispose()
  await model?.dispose()
})

async function answers(prompts: readonly string[]): Promise<string[]> {
  const written = await policy.generate([...prompts], { maxNewTokens: 40, temperature: 0 })
  return written.map(({ samples }) => samples[0]!.text!)
}
const shareOf = (verdicts: readonly boolean[]) => verdicts.filter(Boolean).length / verdicts.length

test('an entry point fits the helper it is shown', async (t) => {
  const shown = cases.map(({ item, convention }) => auxSolution(problemOf(item), convention))
  const mains = await answers(cases.map(({ item }, i) => pipeline!(item, 1, [said(shown[i]!)]) as string))
  const verdicts = await Promise.all(cases.map(({ item }, i) => judge.verdict(item, shown[i]!, mains[i]!, signal)))
  const share = shareOf(verdicts.map(({ pass }) => pass))
  t.true(share >= 0.9, String(share))
})

test('a helper fits the entry point it is shown', async (t) => {
  const shown = cases.map(({ item, convention }) => mainSolution(problemOf(item), convention))
  const helpers = await answers(cases.map(({ item }, i) => discussion!(item, 0, [said(shown[i]!)]) as string))
  const verdicts = await Promise.all(cases.map(({ item }, i) => judge.verdict(item, helpers[i]!, shown[i]!, signal)))
  const share = shareOf(verdicts.map(({ pass }) => pass))
  t.true(share >= 0.9, String(share))
})

test('the single model solves problems without a helper, which earns nothing', async (t) => {
  const alone = await answers(problems.map((item) => single!.prompt(item) as string))
  const verdicts = await Promise.all(problems.map((item, i) => judge.verdict(item, '', alone[i]!, signal)))
  const share = shareOf(verdicts.map(({ tests }) => tests !== null && tests.passed === tests.total))
  t.true(share >= 0.9, String(share))
  t.is(shareOf(verdicts.map(({ pass }) => pass)), 0)
})

test('after feedback a program that passes is kept, and one that fails goes on with one of both ideas', async (t) => {
  const plays = cases.flatMap(({ item, convention }) =>
    [convention, conventions[(conventions.indexOf(convention) + 2) % 4]!].map((other) => ({
      item,
      meant: [convention, other],
      texts: [auxSolution(problemOf(item), convention), mainSolution(problemOf(item), other)],
    })),
  )
  const facts = await Promise.all(plays.map(({ item, texts }) => judge.verdict(item, texts[0]!, texts[1]!, signal)))
  for (const agent of [0, 1]) {
    const revised = await answers(
      plays.map(({ item, texts }, i) => revisionPrompt(item.prompt, agent, texts[agent]!, 'level_feedback', facts[i]!)),
    )
    const read = agent === 0 ? auxConvention : mainConvention
    const kept = plays.flatMap(({ texts }, i) => (facts[i]!.pass ? [revised[i] === texts[agent]] : []))
    const within = plays.flatMap(({ meant }, i) => (facts[i]!.pass ? [] : [meant.includes(read(revised[i]!) as never)]))
    t.true(kept.length >= 60 && shareOf(kept) >= 0.9, `agent ${agent} keeps ${shareOf(kept)}`)
    t.true(within.length >= 55 && shareOf(within) >= 0.6, `agent ${agent} stays within ${shareOf(within)}`)
  }
})
