/** Token trees for the core, built from prompts and completions; and what all batches have in common. */
import { MagrpoError } from '../base/errors.ts'
import type { NativePolicy, NativeTokenTree } from '../native/addon-types.ts'
import type { Model } from './model.ts'
import type { PolicyRef } from './types.ts'

/** Builds a token tree: equal prompts of one policy become one root. */
export class TreeBuilder {
  readonly policies: NativePolicy[] = []
  tokens = 0
  readonly #parent: number[] = []
  readonly #offset: number[] = [0]
  readonly #ids: Int32Array[] = []
  readonly #policy: number[] = []
  readonly #roots = new Map<string, number>()

  root(policy: PolicyRef, ids: Int32Array): number {
    const index = this.#indexOf(policy)
    const key = `${index}:${ids.join(',')}`
    const known = this.#roots.get(key)
    if (known !== undefined) return known
    const segment = this.#add(-1, index, ids)
    this.#roots.set(key, segment)
    return segment
  }

  child(parent: number, ids: Int32Array): number {
    return this.#add(parent, this.#policy[parent]!, ids)
  }

  /** Number of the token after a segment's last. */
  end(segment: number): number {
    return this.#offset[segment + 1]!
  }

  build(): NativeTokenTree {
    const ids = new Int32Array(this.tokens)
    for (const [segment, part] of this.#ids.entries()) ids.set(part, this.#offset[segment]!)
    return {
      parent: Int32Array.from(this.#parent),
      offset: Int32Array.from(this.#offset),
      ids,
      policy: Int32Array.from(this.#policy),
    }
  }

  #add(parent: number, policy: number, ids: Int32Array): number {
    this.#parent.push(parent)
    this.#policy.push(policy)
    this.#ids.push(ids)
    this.tokens += ids.length
    this.#offset.push(this.tokens)
    return this.#parent.length - 1
  }

  #indexOf(policy: PolicyRef): number {
    const { native } = policy
    if (native === null) return -1
    const index = this.policies.indexOf(native)
    return index >= 0 ? index : this.policies.push(native) - 1
  }
}

/** @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_TOKEN_RANGE` */
export function checkPromptIds(model: Model, ids: Int32Array, number: number): void {
  if (ids.length === 0)
    throw new MagrpoError('ERR_EMPTY_PROMPT', `Expected at least one token in prompt ${number} but it is empty.`, {
      details: { prompt: number },
    })
  const wrong = ids.findIndex((id) => id < 0 || id >= model.config.vocabSize)
  if (wrong >= 0)
    throw new MagrpoError(
      'ERR_TOKEN_RANGE',
      `Expected token ids from 0 to ${model.config.vocabSize - 1} for "${model.source}" but received ${ids[wrong]} at position ` +
        `${wrong} of prompt ${number}.`,
      { details: { prompt: number, position: wrong } },
    )
}

/** @throws MagrpoError `ERR_EMPTY_PROMPT`, `ERR_TOKEN_RANGE`, `ERR_PROMPT_TOO_LONG` */
export function checkPrompt(model: Model, ids: Int32Array, number: number): void {
  checkPromptIds(model, ids, number)
  if (ids.length >= model.contextLength)
    throw new MagrpoError(
      'ERR_PROMPT_TOO_LONG',
      `Expected prompt ${number} to leave room in the context of ${model.contextLength} tokens of "${model.source}", but it ` +
        `has ${ids.length}. Shorten it, or leave such items out.`,
      { details: { prompt: number, tokens: ids.length, contextLength: model.contextLength } },
    )
}

/** @throws MagrpoError `ERR_PROMPT_TOO_LONG` */
export function checkLength(model: Model, tokens: number, number: number): void {
  if (tokens <= model.contextLength) return
  throw new MagrpoError(
    'ERR_PROMPT_TOO_LONG',
    `Expected prompt ${number} and its completion to fit the context of ${model.contextLength} tokens of "${model.source}", ` +
      `but they have ${tokens}.`,
    { details: { prompt: number, tokens, contextLength: model.contextLength } },
  )
}

/** Waits for all models before it throws, so that no native call is left running behind an error. */
export function throwFirst(settled: PromiseSettledResult<unknown>[]): void {
  for (const result of settled) if (result.status === 'rejected') throw result.reason
}
