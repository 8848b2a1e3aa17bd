/** The random numbers of a policy's samples, as options and as a policy counts them. */
import type { z } from 'zod'
import { ConfigError } from '../base/errors.ts'
import { seed as seedField } from '../base/fields.ts'
import { seedOf } from '../base/random.ts'
import { resolve, section } from '../base/validate.ts'
import type { RandomStream } from './types.ts'

const number = () => seedField().default(0)

/** Fields of a {@link RandomStream}; what is left out is 0. */
export const streamSection = section({
  seed: number(),
  step: number(),
  agent: number(),
  prompt: number(),
  sample: number(),
})

/** Policies made so far in this process. */
let policies = 0

/** The streams of one policy: a new one for each call that names none. */
export class StreamCounter {
  #next: RandomStream

  /** @param seed the one that the policy was made with */
  constructor(seed: number) {
    const number = policies++
    this.#next = { ...{ seed: seedOf(seed, 'sampling', number), step: 0, agent: number }, prompt: 0, sample: 0 }
  }

  /** What the next call will take. */
  get next(): RandomStream {
    return { ...this.#next }
  }

  /** @throws ConfigError for what is no stream */
  set next(stream: RandomStream) {
    this.#next = resolve(streamSection, stream, 'The stream of a policy')
  }

  /**
   * The stream of one call: what it names, else the next one.
   *
   * @throws ConfigError where `seed` and `stream` both name a seed
   */
  take(seed: number | undefined, stream: z.output<typeof streamSection> | undefined, hasSeed: boolean): RandomStream {
    if (seed !== undefined && hasSeed) {
      const message = 'expected the seed once: leave it out here, or in stream'
      throw new ConfigError([{ path: 'seed', message }], 'The options of generate')
    }
    if (stream !== undefined) return seed === undefined ? stream : { ...stream, seed }
    if (seed !== undefined) return { seed, step: 0, agent: 0, prompt: 0, sample: 0 }
    const taken = this.#next
    this.#next = { ...taken, step: (taken.step + 1) % 2 ** 32 }
    return taken
  }
}
