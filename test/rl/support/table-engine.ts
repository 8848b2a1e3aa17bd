/**
 * An engine without a model: each policy is a table of logits in float64, which samples, scores and learns by plain
 * gradient ascent. Row (prompt, position) of a table holds the logits of the token at that position.
 */

import type { GroupScores, Sample, Sampling, StepOptions, StepResult } from '../../../lib/model/types.ts'
import type { Engine, EngineGroup, EngineRequest } from '../../../lib/rl/engine.ts'
import type { Players } from '../../../lib/rl/players.ts'
import { uniform } from '../../../lib/rl/random.ts'

/** Size of a table. Token `tokens - 1` ends a completion; token t reads as the t-th letter. */
export interface TableShape {
  /** Prompts are the strings '0' to `prompts - 1`. */
  prompts: number
  positions: number
  tokens: number
}

/** Called before the work of a call; may wait, abort or throw. */
export interface TableHooks {
  onGenerate?: (requests: readonly EngineRequest[]) => void | Promise<void>
  onAccumulate?: (groups: readonly EngineGroup[]) => void | Promise<void>
  /** Called after the gradients were added. */
  onAccumulated?: () => void
  onStep?: (policy: number) => void | Promise<void>
}

export class TableEngine implements Engine {
  readonly shape: TableShape
  /** (policies) each (prompts, positions, tokens), flattened. */
  readonly logits: Float64Array[]
  readonly gradients: Float64Array[]
  readonly steps: number[]
  hooks: TableHooks = {}
  /** Calls so far, by name. */
  readonly calls = { generate: 0, accumulate: 0, step: 0, zeroGrad: 0 }
  /** Added to the trainer's log-probabilities, to see whether the difference is noticed. */
  scoreShift = 0

  constructor(policies: number, shape: TableShape) {
    const size = shape.prompts * shape.positions * shape.tokens
    this.shape = shape
    this.logits = Array.from({ length: policies }, () => new Float64Array(size))
    this.gradients = Array.from({ length: policies }, () => new Float64Array(size))
    this.steps = new Array<number>(policies).fill(0)
  }

  async generate(requests: readonly EngineRequest[], sampling: Sampling, options: { signal?: AbortSignal }) {
    this.calls.generate++
    await this.hooks.onGenerate?.(requests)
    options.signal?.throwIfAborted()
    let newTokens = 0
    const generations = requests.map((request) => {
      const promptIds = promptIdsOf(request.prompt)
      const samples = Array.from({ length: request.count }, (_, g) => this.sample(request, promptIds[0]!, g, sampling))
      for (const { ids } of samples) newTokens += ids.length
      return { promptIds, samples }
    })
    return { generations, stats: { prefillTokens: requests.length, newTokens, seconds: 0.001 } }
  }

  async accumulate(groups: readonly EngineGroup[], options: { signal?: AbortSignal }) {
    this.calls.accumulate++
    await this.hooks.onAccumulate?.(groups)
    options.signal?.throwIfAborted()
    const scores = groups.map((group): GroupScores => {
      const gradient = this.gradients[group.policy]!
      const score: GroupScores = { logProbs: [], entropies: [] }
      for (const { ids, weights } of group.completions) {
        if (weights?.length !== ids.length) throw new Error('weights do not fit ids')
        const logProbs = Float32Array.from(ids, (id, position) => {
          const row = this.row(group.policy, group.promptIds[0]!, position)
          for (let token = 0; token < this.shape.tokens; token++) {
            gradient[row.begin + token]! += weights[position]! * (Number(token === id) - row.probabilities[token]!)
          }
          return Math.log(row.probabilities[id]!) + this.scoreShift
        })
        score.logProbs.push(logProbs)
        score.entropies.push(new Float32Array(ids.length))
      }
      return score
    })
    this.hooks.onAccumulated?.()
    return { scores }
  }

  async step(policy: number, options: StepOptions): Promise<StepResult> {
    this.calls.step++
    await this.hooks.onStep?.(policy)
    const gradient = this.gradients[policy]!
    const gradNorm = Math.hypot(...gradient)
    const skipped = !Number.isFinite(gradNorm)
    if (!skipped) {
      const logits = this.logits[policy]!
      for (let i = 0; i < logits.length; i++) logits[i]! += options.learningRate * gradient[i]!
      this.steps[policy]!++
    }
    gradient.fill(0)
    return { gradNorm, skipped }
  }

  async zeroGrad(policy: number): Promise<void> {
    this.calls.zeroGrad++
    this.gradients[policy]!.fill(0)
  }

  /** Probabilities of the tokens at a position. */
  row(policy: number, prompt: number, position: number, temperature = 1) {
    const { positions, tokens } = this.shape
    const begin = (prompt * positions + position) * tokens
    const logits = Array.from(this.logits[policy]!.subarray(begin, begin + tokens), (value) => value / temperature)
    const top = Math.max(...logits)
    const total = logits.reduce((sum, value) => sum + Math.exp(value - top), 0)
    return { begin, probabilities: logits.map((value) => Math.exp(value - top) / total) }
  }

  private sample(request: EngineRequest, prompt: number, g: number, sampling: Sampling): Sample {
    const { seed, step, agent, prompt: slot, sample } = request.stream
    const temperature = sampling.temperature ?? 1
    const ids: number[] = []
    const logProbs: number[] = []
    const entropies: number[] = []
    const end = this.shape.tokens - 1
    const limit = Math.min(this.shape.positions, sampling.maxNewTokens ?? this.shape.positions)
    while (ids.length < limit && ids.at(-1) !== end) {
      const position = ids.length
      const { probabilities } = this.row(request.policy, prompt, position)
      const random = uniform(seed + 31 * step, 1000 * agent + slot, 1000 * (sample + g) + position)
      const id =
        temperature === 0
          ? probabilities.indexOf(Math.max(...probabilities))
          : pick(this.row(request.policy, prompt, position, temperature).probabilities, random)
      ids.push(id)
      logProbs.push(Math.log(probabilities[id]!))
      entropies.push(-probabilities.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0))
    }
    const text = String.fromCharCode(...ids.filter((id) => id !== end).map((id) => 97 + id))
    return {
      text,
      ids: Int32Array.from(ids),
      logProbs: Float32Array.from(logProbs),
      entropies: Float32Array.from(entropies),
      finish: ids.at(-1) === end ? 'stop' : 'length',
    }
  }
}

/** Players of a table engine, one policy an agent unless `policies` says otherwise. */
export function tablePlayers(
  engine: TableEngine,
  names: readonly string[],
  policies: readonly number[] = names.map((_, agent) => agent),
): Players & { saved: string[] } {
  const saved: string[] = []
  return {
    engine,
    saved,
    agents: names.map((name, agent) => ({
      name,
      policy: policies[agent]!,
      kind: 'full' as const,
      parameterCount: engine.logits[0]!.length,
      source: 'table',
    })),
    save: async (directory) => {
      saved.push(directory)
    },
  }
}

function promptIdsOf(prompt: EngineRequest['prompt']): Int32Array {
  if (typeof prompt !== 'string') throw new Error('the table reads strings only')
  return Int32Array.of(Number(prompt))
}

function pick(probabilities: readonly number[], random: number): number {
  let rest = random
  const index = probabilities.findIndex((p) => {
    rest -= p
    return rest < 0
  })
  return index < 0 ? probabilities.length - 1 : index
}
