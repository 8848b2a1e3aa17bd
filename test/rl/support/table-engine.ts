/**
 * An engine without a model: each policy is a table of logits in float64, which samples, scores and learns by plain
 * gradient ascent. Row (prompt, position) of a table holds the logits of the token at that position. Its value head is a
 * table as well: one number for each thing it reads.
 */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { uniform } from '../../../lib/base/random.ts'
import type { Sampling } from '../../../lib/model/sampling.ts'
import type { StepOptions } from '../../../lib/model/step-options.ts'
import type { GroupScores, LossOptions, Sample, StepResult } from '../../../lib/model/types.ts'
import {
  type AuxiliaryModels,
  type CriticBinding,
  noAuxiliaryModels,
} from '../../../lib/rl/backend/auxiliary-models.ts'
import type {
  Engine,
  EngineAccumulateOptions,
  EngineGroup,
  EngineRequest,
  EngineScoreOptions,
} from '../../../lib/rl/backend/engine.ts'
import type { TrainingBackend } from '../../../lib/rl/backend/training-backend.ts'

/** Size of a table. Token `tokens - 1` ends a completion; token t reads as the t-th letter. */
export interface TableShape {
  /** Prompts are the strings '0' to `prompts - 1`; other texts can only be given values. */
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
  /** (policies) values by {@link valueKey}; what is not there is 0. */
  readonly values: Map<string, number>[]
  readonly valueGradients: Map<string, number>[]
  /** Texts that are no number of a prompt, in the order they came. */
  readonly texts: string[] = []
  hooks: TableHooks = {}
  /** Calls so far, by name. */
  readonly calls = { generate: 0, score: 0, accumulate: 0, step: 0, zeroGrad: 0 }
  /** Added to the trainer's log-probabilities, to see whether the difference is noticed. */
  scoreShift = 0

  constructor(policies: number, shape: TableShape) {
    const size = shape.prompts * shape.positions * shape.tokens
    this.shape = shape
    this.logits = Array.from({ length: policies }, () => new Float64Array(size))
    this.gradients = Array.from({ length: policies }, () => new Float64Array(size))
    this.values = Array.from({ length: policies }, () => new Map())
    this.valueGradients = Array.from({ length: policies }, () => new Map())
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

  encode(_policy: number, prompt: EngineRequest['prompt']): Int32Array {
    if (typeof prompt === 'string' && /^\d+$/.test(prompt)) return promptIdsOf(prompt)
    const text = String(prompt)
    if (!this.texts.includes(text)) this.texts.push(text)
    return Int32Array.of(1000 + this.texts.indexOf(text))
  }

  async score(groups: readonly EngineGroup[], options: EngineScoreOptions) {
    this.calls.score++
    options.signal?.throwIfAborted()
    return { scores: groups.map((group) => this.scoresOf(group, options.sampling?.temperature)) }
  }

  async accumulate(groups: readonly EngineGroup[], options: EngineAccumulateOptions) {
    this.calls.accumulate++
    await this.hooks.onAccumulate?.(groups)
    options.signal?.throwIfAborted()
    const temperature = options.sampling?.temperature ?? 1
    const scores = groups.map((group) => {
      const score = this.scoresOf(group, temperature)
      for (const [index, completion] of group.completions.entries()) {
        this.addPolicyGradient(group, completion, options.loss ?? {}, temperature)
        if (group.valueAt === undefined) continue
        const { valueTarget = 0, valueWeight = 0 } = completion
        const gradients = this.valueGradients[group.policy]!
        const key = valueKey(group, completion)
        gradients.set(key, (gradients.get(key) ?? 0) + 2 * valueWeight * (valueTarget - score.values![index]!))
      }
      return score
    })
    this.hooks.onAccumulated?.()
    return { scores }
  }

  private scoresOf(group: EngineGroup, temperature = 1): GroupScores {
    const rows = group.completions.map(({ ids }) =>
      Array.from(ids, (id, position) => ({
        id,
        ...this.row(group.policy, group.promptIds[0]!, position, temperature),
      })),
    )
    const logProb = (row: { id: number; probabilities: number[] }) =>
      Math.log(row.probabilities[row.id]!) + this.scoreShift
    return {
      logProbs: rows.map((own) => Float32Array.from(own, logProb)),
      entropies: rows.map((own) => Float32Array.from(own, ({ probabilities }) => entropyOf(probabilities))),
      ...(group.valueAt !== undefined && {
        values: group.completions.map((completion) => this.values[group.policy]!.get(valueKey(group, completion)) ?? 0),
      }),
    }
  }

  /** Adds the gradient of the terms of {@link LossOptions} that are of the policy, each by the chain rule. */
  private addPolicyGradient(
    group: EngineGroup,
    completion: EngineGroup['completions'][number],
    loss: LossOptions,
    temperature: number,
  ): void {
    const { ids, weights, oldLogProbs, referenceLogProbs, penaltyWeights } = completion
    for (const [name, values] of Object.entries({ weights, oldLogProbs, referenceLogProbs, penaltyWeights })) {
      if (values && values.length !== ids.length) throw new Error(`${name} do not fit ids`)
    }
    if (ids.length > 0 && loss.clip && !oldLogProbs) throw new Error('oldLogProbs are missing')
    if (ids.length > 0 && loss.kl && !referenceLogProbs) throw new Error('referenceLogProbs are missing')
    const gradient = this.gradients[group.policy]!
    for (const [position, id] of ids.entries()) {
      const { begin, probabilities } = this.row(group.policy, group.promptIds[0]!, position, temperature)
      const logProb = Math.log(probabilities[id]!)
      const weight = weights?.[position] ?? 0
      const penalty = penaltyWeights?.[position] ?? 0
      let byLogProb = weight
      if (loss.clip) {
        const ratio = Math.exp(logProb - oldLogProbs![position]!)
        const clamped = Math.min(Math.max(ratio, 1 - loss.clip.low), 1 + loss.clip.high)
        byLogProb = ratio * weight <= clamped * weight ? ratio * weight : 0
      }
      if (loss.kl) {
        const d = referenceLogProbs![position]! - logProb
        const slope = { k1: 1, k2: -d, k3: 1 - Math.exp(d) }[loss.kl.estimator]
        byLogProb -= penalty * loss.kl.coefficient * slope
      }
      const entropy = entropyOf(probabilities)
      for (let token = 0; token < this.shape.tokens; token++) {
        const p = probabilities[token]!
        const entropySlope = p > 0 ? -p * (Math.log(p) + entropy) : 0
        gradient[begin + token]! +=
          (byLogProb * (Number(token === id) - p) + penalty * (loss.entropyCoefficient ?? 0) * entropySlope) /
          temperature
      }
    }
  }

  async step(policy: number, options: StepOptions): Promise<StepResult> {
    this.calls.step++
    await this.hooks.onStep?.(policy)
    const gradient = this.gradients[policy]!
    const valueGradients = this.valueGradients[policy]!
    const gradNorm = Math.hypot(...gradient, ...valueGradients.values())
    const skipped = !Number.isFinite(gradNorm)
    if (!skipped) {
      const logits = this.logits[policy]!
      for (let i = 0; i < logits.length; i++) logits[i]! += options.learningRate * gradient[i]!
      const values = this.values[policy]!
      for (const [key, slope] of valueGradients) values.set(key, (values.get(key) ?? 0) + options.learningRate * slope)
      this.steps[policy]!++
    }
    gradient.fill(0)
    valueGradients.clear()
    return { gradNorm, skipped }
  }

  async zeroGrad(policy: number): Promise<void> {
    this.calls.zeroGrad++
    this.gradients[policy]!.fill(0)
    this.valueGradients[policy]!.clear()
  }

  /** What training changes of a policy, as plain JSON. */
  stateOf(policy: number) {
    return { logits: [...this.logits[policy]!], values: [...this.values[policy]!], steps: this.steps[policy]! }
  }

  /** Goes on where {@link stateOf} was called. */
  restore(policy: number, state: ReturnType<TableEngine['stateOf']>): void {
    this.logits[policy]!.set(state.logits)
    this.values[policy] = new Map(state.values)
    this.steps[policy] = state.steps
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
    const modelLogProbs: number[] = []
    const modelEntropies: number[] = []
    const end = this.shape.tokens - 1
    const limit = Math.min(this.shape.positions, sampling.maxNewTokens ?? this.shape.positions)
    while (ids.length < limit && ids.at(-1) !== end) {
      const position = ids.length
      const { probabilities } = this.row(request.policy, prompt, position)
      const random = uniform(seed + 31 * step, 1000 * agent + slot, 1000 * (sample + g) + position)
      const isGreedy = temperature === 0
      const drawn = isGreedy ? probabilities : this.row(request.policy, prompt, position, temperature).probabilities
      const id = isGreedy ? probabilities.indexOf(Math.max(...probabilities)) : pick(drawn, random)
      ids.push(id)
      logProbs.push(Math.log(drawn[id]!))
      entropies.push(entropyOf(drawn))
      modelLogProbs.push(Math.log(probabilities[id]!))
      modelEntropies.push(entropyOf(probabilities))
    }
    const text = String.fromCharCode(...ids.filter((id) => id !== end).map((id) => 97 + id))
    return {
      text,
      ids: Int32Array.from(ids),
      logProbs: Float32Array.from(logProbs),
      entropies: Float32Array.from(entropies),
      modelLogProbs: Float32Array.from(modelLogProbs),
      modelEntropies: Float32Array.from(modelEntropies),
      finish: ids.at(-1) === end ? 'stop' : 'length',
    }
  }
}

/** What a value is looked up by: the prompt, and for `valueAt: 'completion'` the completion's tokens. */
export function valueKey(
  { promptIds, valueAt }: Pick<EngineGroup, 'promptIds' | 'valueAt'>,
  { ids }: { ids: Int32Array },
): string {
  return valueAt === 'completion' ? `${promptIds[0]}:${ids.join(',')}` : String(promptIds[0])
}

/**
 * TrainingBackend of a table engine, one policy per agent unless `policies` says otherwise.
 *
 * @param auxiliary numbers of references and critics; critics read ids unless `sharesTokenizer` says otherwise
 */
export function tableBackend(
  engine: TableEngine,
  names: readonly string[],
  policies: readonly number[] = names.map((_, agent) => agent),
  auxiliary: { references?: number[]; critics?: number[]; sharesTokenizer?: boolean } = {},
): TrainingBackend & { saved: string[] } {
  const { references, critics, sharesTokenizer = true } = auxiliary
  const prepared: AuxiliaryModels = {
    ...noAuxiliaryModels(names.length),
    ...(references && { references }),
    ...(critics && { critics: critics.map((policy): CriticBinding => ({ policy, sharesTokenizer })) }),
  }
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
    auxiliary: { check: () => [], prepare: async () => prepared },
    save: async (directory) => {
      saved.push(directory)
    },
    weights: {
      prefixOf: (policy) => `policy-${policy}`,
      write: async (directory, numbers) => {
        const texts = numbers.map((policy) => JSON.stringify(engine.stateOf(policy)))
        for (const [index, policy] of numbers.entries())
          await writeFile(join(directory, `policy-${policy}.json`), texts[index]!)
      },
      read: async (directory, numbers) => {
        for (const policy of numbers)
          engine.restore(policy, JSON.parse(await readFile(join(directory, `policy-${policy}.json`), 'utf8')))
      },
    },
  }
}

function promptIdsOf(prompt: EngineRequest['prompt']): Int32Array {
  if (typeof prompt !== 'string') throw new Error('the table reads strings only')
  return Int32Array.of(Number(prompt))
}

function entropyOf(probabilities: readonly number[]): number {
  return -probabilities.reduce((sum, p) => sum + (p > 0 ? p * Math.log(p) : 0), 0)
}

function pick(probabilities: readonly number[], random: number): number {
  let rest = random
  const index = probabilities.findIndex((p) => {
    rest -= p
    return rest < 0
  })
  return index < 0 ? probabilities.length - 1 : index
}
