/**
 * Makes the weights of the mini-code model, from nothing: supervised training on solutions that mix the four conventions.
 *
 *     npx tsx models/mini-code/make.ts --corpus corpus.jsonl     # 1. every training text, for the tokenizer
 *     python3 models/mini-code/make-tokenizer.py corpus.jsonl models/mini-code
 *     npx tsx models/mini-code/make.ts                           # 2. model.safetensors, in minutes
 *     npx tsx models/mini-code/make.ts --check                   # 3. what it can do, on validation problems
 */
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { conventionEntropy } from '../../lib/tasks/mini-code/convention.ts'
import { miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { agentPrompt, humanEvalPrompt } from '../../lib/tasks/mini-code/prompts.ts'
import { auxSolution, conventions, mainSolution, supervisedSamples } from '../../lib/tasks/mini-code/solutions.ts'
import { miniCode } from '../../lib/tasks/mini-code/task.ts'
import type { Completion } from '../../lib/tasks/types.ts'
import { writeInitialWeights } from './initial-weights.ts'

const folder = fileURLToPath(new URL('.', import.meta.url))
const steps = 1200
const batchSize = 64
const learningRate = 3e-3
const warmUpSteps = 50
const weightSeed = 1
const dataSeed = 1

/** All prompts and solutions of the training problems, each once. */
async function writeCorpus(file: string): Promise<void> {
  const texts = miniCodeProblems().train.flatMap((item) => {
    const problem = problemOf(item)
    const solutions = conventions.flatMap((name) => [auxSolution(problem, name), mainSolution(problem, name)])
    return [agentPrompt(item.prompt, 0), agentPrompt(item.prompt, 1), ...solutions]
  })
  await writeFile(file, [...new Set(texts)].map((text) => `${JSON.stringify(text)}\n`).join(''))
}

async function train(): Promise<void> {
  const start = await mkdtemp(join(tmpdir(), 'mini-code-'))
  try {
    for (const name of ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'])
      await copyFile(join(folder, name), join(start, name))
    const shape = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8'))
    await writeInitialWeights(join(start, 'model.safetensors'), shape, weightSeed)
    await using model = await Model.load(start, { device: 'cpu' })
    const policy = await Policy.full(model)
    await trainPolicy(policy)
    const trained = join(start, 'trained')
    await policy.save(trained)
    await copyFile(join(trained, 'model.safetensors'), join(folder, 'model.safetensors'))
  } finally {
    await rm(start, { recursive: true })
  }
}

/** Maximises the mean log-probability of the completions' tokens; the rate warms up, then falls linearly to 0. */
async function trainPolicy(policy: Policy): Promise<void> {
  const { tokenizer, endIds } = policy.model
  if (tokenizer === null) throw new Error('tokenizer.json is missing: run make-tokenizer.py first')
  const samples = supervisedSamples(miniCodeProblems().train.map(problemOf), dataSeed)
  for (let step = 0; step < steps; step++) {
    const batch = Array.from({ length: batchSize }, () => {
      const { problem, agent, completion } = samples.next().value
      const promptIds = tokenizer.encode(agentPrompt(humanEvalPrompt(problem), agent))
      return { promptIds, ids: Int32Array.of(...tokenizer.encode(completion), ...endIds) }
    })
    const tokens = batch.reduce((sum, { ids }) => sum + ids.length, 0)
    const scores = await policy.accumulate(
      batch.map(({ promptIds, ids }) => ({
        promptIds,
        completions: [{ ids, weights: new Float32Array(ids.length).fill(1 / tokens) }],
      })),
    )
    const rate = learningRate * Math.min(1, (step + 1) / warmUpSteps) * (1 - step / steps)
    await policy.step({ learningRate: rate, betas: [0.9, 0.99], maxGradNorm: 1 })
    if ((step + 1) % 100 === 0) {
      const total = scores.flatMap(({ logProbs }) => [...(logProbs[0] as Float32Array)]).reduce((a, b) => a + b, 0)
      console.log(`step ${step + 1} of ${steps}: loss ${(-total / tokens).toFixed(4)}`)
    }
  }
}

/** Prints how two untrained agents do on validation problems, four joint samples each at temperature 1. */
async function check(): Promise<void> {
  const task = miniCode({ heldOut: 200 })
  const { signal } = new AbortController()
  await using model = await Model.load(folder, { device: 'cpu' })
  const policy = Policy.base(model)
  const items = task.heldOut ?? []
  const count = 4
  try {
    const [aux, main] = await Promise.all(
      task.agents.map(async (_, agent) => {
        const prompts = items.map((item) => task.observe(item, agent, []) as string)
        return policy.generate(prompts, { count, maxNewTokens: 40, stream: { seed: 1, agent } })
      }),
    )
    const seen: Record<string, number>[] = []
    for (const [index, item] of items.entries())
      for (let sample = 0; sample < count; sample++) {
        const joint = [aux, main].map((written) => {
          const { text, ids, finish } = written![index]!.samples[sample]!
          return { text: text ?? '', ids, finish, logProbSum: 0 } satisfies Completion
        })
        const result = await task.reward(item, joint, { signal })
        const parts = typeof result === 'number' ? {} : result.parts
        const agrees = task.metrics?.(item, joint) ?? {}
        seen.push({ ...parts, ...agrees, pass_if_agree: parts.pass! * agrees['convention/agree']! })
      }
    const mean = (name: string) => seen.reduce((sum, each) => sum + each[name]!, 0) / seen.length
    const means = Object.fromEntries(Object.keys(seen[0]!).map((name) => [name, mean(name)]))
    console.log(means)
    console.log(
      `pass where both follow one convention: ${(means.pass_if_agree! / means['convention/agree']!).toFixed(3)}`,
    )
    for (const agent of ['aux', 'main'] as const)
      console.log(`entropy of the convention of ${agent}: ${conventionEntropy(means, agent).toFixed(3)} bits`)
  } finally {
    await task.dispose?.()
  }
}

const { values } = parseArgs({ options: { corpus: { type: 'string' }, check: { type: 'boolean' } } })
if (values.corpus !== undefined) await writeCorpus(values.corpus)
else if (values.check) await check()
else await train()
