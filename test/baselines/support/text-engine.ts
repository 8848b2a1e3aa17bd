/** An engine that answers prompts with texts of a function: a model that the test writes. */

import type { Sampling } from '../../../lib/model/sampling.ts'
import type { Generation, Sample } from '../../../lib/model/types.ts'
import type { EngineRequest } from '../../../lib/rl/backend/engine.ts'

/** What the function is told. */
export interface Question {
  policy: number
  /** Text of the prompt; of chat messages the last one's. */
  prompt: string
  isChat: boolean
  stream: EngineRequest['stream']
  maxNewTokens: number
}

export class TextEngine {
  /** All requests, call by call. */
  readonly calls: EngineRequest[][] = []
  readonly samplings: Sampling[] = []
  readonly #answer: (question: Question) => string

  constructor(answer: (question: Question) => string) {
    this.#answer = answer
  }

  async generate(requests: readonly EngineRequest[], sampling: Sampling, { signal }: { signal?: AbortSignal }) {
    signal?.throwIfAborted()
    this.calls.push([...requests])
    this.samplings.push(sampling)
    let newTokens = 0
    const generations = requests.map(({ policy, prompt, count, stream }): Generation => {
      const isChat = typeof prompt !== 'string'
      const text = isChat ? String((prompt as { content: string }[]).at(-1)!.content) : prompt
      const samples = Array.from({ length: count }, (_, g): Sample => {
        const question = { policy, prompt: text, isChat, maxNewTokens: sampling.maxNewTokens ?? 0 }
        const answer = this.#answer({ ...question, stream: { ...stream, sample: stream.sample + g } })
        const length = answer.split(/\s+/).length
        newTokens += length
        const ids = new Int32Array(length)
        return {
          text: answer,
          ids,
          logProbs: new Float32Array(length),
          entropies: new Float32Array(length),
          modelLogProbs: new Float32Array(length),
          modelEntropies: new Float32Array(length),
          finish: 'stop',
        }
      })
      return { promptIds: Int32Array.of(1), samples }
    })
    return { generations, stats: { prefillTokens: requests.length, newTokens, seconds: 0.001 } }
  }

  /** TrainingBackend with a policy each. */
  players(count: number) {
    return { engine: this, agents: Array.from({ length: count }, (_, policy) => ({ policy })) }
  }
}
