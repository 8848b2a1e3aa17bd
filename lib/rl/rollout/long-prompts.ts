/** Prompts that leave too little of a model's context: how they are told, left out or cut. */
import { MagrpoError } from '../../base/errors.ts'
import type { Prompt } from '../../model/types.ts'
import type { ChatMessage } from '../../text/messages.ts'
import type { TrainingBackend } from '../backend/training-backend.ts'
import type { LongPrompts } from '../options/run.ts'

/** What stands for the text that was cut. */
const gap = ' … '

/** What the prompts of agents have to leave. */
export class PromptLengths {
  readonly #backend: Pick<TrainingBackend, 'measurePrompt'>
  readonly #maxNewTokens: number
  readonly mode: LongPrompts

  /** @param maxNewTokens what a prompt has to leave, to leave enough */
  constructor(backend: Pick<TrainingBackend, 'measurePrompt'>, mode: LongPrompts, maxNewTokens: number) {
    this.#backend = backend
    this.#maxNewTokens = maxNewTokens
    this.mode = mode
  }

  /**
   * How much of the context a prompt leaves; null if that is enough, or not known.
   *
   * @throws see `TrainingBackend.measurePrompt`
   */
  shortOf(agent: number, prompt: Prompt): { tokens: number; contextLength: number; left: number } | null {
    const size = this.#backend.measurePrompt?.(agent, prompt, this.#maxNewTokens)
    if (size === undefined) return null
    const left = size.contextLength - size.tokens
    return left < this.#maxNewTokens ? { ...size, left } : null
  }

  /**
   * A prompt as it is played: cut, or null if it has to be skipped.
   *
   * @throws MagrpoError `ERR_PROMPT_TOO_LONG` for one that cannot be cut
   */
  played<P extends string | ChatMessage[]>(agent: number, prompt: P): P | null {
    if (this.mode === 'refuse') return prompt
    const short = this.shortOf(agent, prompt)
    if (short === null) return prompt
    if (this.mode === 'skip') return short.left > 0 ? prompt : null
    return this.#cut(agent, prompt, short) as P
  }

  #cut(agent: number, prompt: Prompt, size: { tokens: number; contextLength: number }): Prompt {
    const refuse = (why: string): never => {
      throw new MagrpoError(
        'ERR_PROMPT_TOO_LONG',
        `Expected a prompt that can be cut to leave ${this.#maxNewTokens} tokens (sampling.maxNewTokens) of the context of ` +
          `${size.contextLength}, but it has ${size.tokens}, and ${why}`,
        { details: { ...size, maxNewTokens: this.#maxNewTokens } },
      )
    }
    if (size.contextLength <= this.#maxNewTokens) refuse('nothing is left for a prompt. Lower sampling.maxNewTokens.')
    const text = textToCut(prompt)
    if (text === null) return refuse('only text, or a message of the user, can be cut. Shorten it.')
    const characters = Array.from(text.value)
    const keeping = (count: number) => {
      const head = characters.slice(0, Math.ceil(count / 2)).join('')
      const tail = characters.slice(characters.length - Math.floor(count / 2)).join('')
      return text.replace(head.trimEnd() + gap + tail.trimStart())
    }
    const fits = (count: number) => this.shortOf(agent, keeping(count)) === null
    if (!fits(0)) refuse('what is around the text alone is too long. Shorten it, or lower sampling.maxNewTokens.')
    let [kept, tooMany] = [0, characters.length]
    while (tooMany - kept > 1) {
      const middle = Math.floor((kept + tooMany) / 2)
      if (fits(middle)) kept = middle
      else tooMany = middle
    }
    return keeping(kept)
  }
}

/** The part of a prompt that can be cut, and the prompt with another in its place. A chat template cannot be cut. */
function textToCut(prompt: Prompt): { value: string; replace(text: string): Prompt } | null {
  if (prompt instanceof Int32Array) return null
  if (typeof prompt === 'string') return { value: prompt, replace: (text) => text }
  const lengths = prompt.map(({ role, content }) => (role === 'user' ? content.length : 0))
  const longest = lengths.indexOf(Math.max(...lengths))
  if (!(lengths[longest]! > 0)) return null
  return {
    value: prompt[longest]!.content,
    replace: (content) => prompt.map((message, index) => (index === longest ? { ...message, content } : message)),
  }
}
