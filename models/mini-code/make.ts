/**
 * Makes the weights of the mini-code model, from nothing: supervised training on solutions that mix the four conventions, in every
 * situation of the task (see `supervised.ts`). What feedback says of a program comes from the task itself, so Python runs in the sandbox.
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
import { miniCodeProblems, problemOf } from '../../lib/tasks/mini-code/problems.ts'
import { agentPrompt } from '../../lib/tasks/mini-code/prompts.ts'
import { auxSolution, conventions, mainSolution } from '../../lib/tasks/mini-code/solutions.ts'
import { check } from './check.ts'
import { writeInitialWeights } from './initial-weights.ts'
import { type Prompted, SamplePrompts } from './sample-prompts.ts'
import { supervisedSamples } from './supervised.ts'

const folder = fileURLToPath(new URL('.', import.meta.url))
const steps = 1500
const batchSize = 64
const learningRate = 3e-3
const warmUpSteps = 50
const weightSeed = 1
const dataSeed = 1
const corpusSamples = 4000

/**
 * Every text that is trained on: first prompts and solutions of all training problems, each once, and of the other situations, whose
 * words repeat, as many as the first samples of the mix have.
 */
async function writeCorpus(file: string): Promise<void> {
  const texts = miniCodeProblems().train.flatMap((item) => {
    const problem = problemOf(item)
    const solutions = conventions.flatMap((name) => [auxSolution(problem, name), mainSolution(problem, name)])
    return [agentPrompt(item.prompt, 0), agentPrompt(item.prompt, 1), ...solutions]
  })
  await using prompts = new SamplePrompts(supervisedSamples(miniCodeProblems().train, dataSeed))
  const mixed = (await prompts.next(corpusSamples)).flatMap(({ prompt, completion }) => [prompt, completion])
  await writeFile(file, [...new Set([...texts, ...mixed])].map((text) => `${JSON.stringify(text)}\n`).join(''))
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
  await using samples = new SamplePrompts(supervisedSamples(miniCodeProblems().train, dataSeed))
  const encode = ({ prompt, completion }: Prompted) => ({
    promptIds: tokenizer.encode(prompt),
    ids: Int32Array.of(...tokenizer.encode(completion), ...endIds),
  })
  let coming = samples.next(batchSize)
  for (let step = 0; step < steps; step++) {
    const batch = (await coming).map(encode)
    // The next batch's programs run while this one is trained on.
    if (step + 1 < steps) coming = samples.next(batchSize)
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

const { values } = parseArgs({ options: { corpus: { type: 'string' }, check: { type: 'boolean' } } })
if (values.corpus !== undefined) await writeCorpus(values.corpus)
else if (values.check) await check(folder)
else await train()
