/** A process of its own that trains a team for a few steps and prints what memory was planned and taken. */
import { pathToFileURL } from 'node:url'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import type { MomentKind } from '../../lib/model/step-options.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import type { MemoryPart } from '../../lib/rl/memory/plan.ts'
import { Team } from '../../lib/rl/team/team.ts'
import { train } from '../../lib/session/train.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'

/** What the process trains; every completion has all its tokens. */
export interface MemoryCase {
  /** Folder of the model. */
  model: string
  /** `full`: a copy for each agent; `lora`: adapters of rank 16 over one. */
  kind: 'full' | 'lora'
  agents: number
  groupSize: number
  /** Items per step. */
  prompts: number

  promptTokens: number
  newTokens: number
  dtype?: 'float32' | 'bfloat16'
  activationCheckpointing?: boolean
  moments?: MomentKind
}

/** What it prints, in bytes. */
export interface MemoryOutcome {
  planned: number
  /** Largest resident set of the process. */
  measured: number
  parts: MemoryPart[]
}

async function measure(asked: MemoryCase): Promise<MemoryOutcome> {
  const { model: folder, kind, agents, groupSize, prompts, promptTokens, newTokens, dtype = 'float32' } = asked
  const names = Array.from({ length: agents }, (_, agent) => `agent ${agent}`)
  const load = () => Model.load(folder, { device: 'cpu', dtype })
  const models = kind === 'lora' ? [await load()] : await Promise.all(names.map(load))
  const team =
    kind === 'lora'
      ? await Team.adapters(models[0]!, names, { rank: 16 })
      : await Team.of(
          await Promise.all(names.map(async (name, i) => ({ name, policy: await Policy.full(models[i]!) }))),
        )
  let calls = 0
  const task = defineTask({
    name: 'memory',
    agents: names,
    items: Array.from({ length: prompts }, (_, item) => item),
    observe: (item: number, agent: number) => promptOf(models[0]!, promptTokens, item, agent),
    reward: () => calls++ % 7,
  })
  const run = train({
    team,
    task,
    algorithm: magrpo({ groupSize }),
    sampling: { maxNewTokens: newTokens, stopIds: [] },
    optimizer: { learningRate: 1e-5, moments: asked.moments },
    steps: 3,
    promptsPerStep: prompts,
    activationCheckpointing: asked.activationCheckpointing,
  })
  const [device] = run.plan()!.devices
  await run.result
  return { planned: device!.peakBytes, measured: process.resourceUsage().maxRSS * 1024, parts: device!.parts }
}

/** A prompt of so many tokens that no other agent or item has. */
function promptOf({ tokenizer }: Model, tokens: number, item: number, agent: number): string {
  if (tokenizer === null) throw new Error('Expected a model with a tokenizer')
  const start = `${item} ${agent} `
  let text = start
  for (let words = tokens; tokenizer.encode(text).length < tokens; words += tokens) text = start + 'a b '.repeat(words)
  return tokenizer.decode(tokenizer.encode(text).slice(0, tokens))
}

if (import.meta.url === pathToFileURL(process.argv[1]!).href)
  console.log(JSON.stringify(await measure(JSON.parse(process.argv[2]!) as MemoryCase)))
