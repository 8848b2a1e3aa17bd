/** Chat templates: Jinja programs that turn messages into the text that a model was trained on. */

import { Environment } from '@huggingface/jinja'
import { MagrpoError } from '../base/errors.ts'
import { BoundedTemplate, maxRange } from './bounded-interpreter.ts'
import type { ChatMessage } from './messages.ts'

/** Options of `ChatTemplate.render`. */
export interface ChatOptions {
  /** Whether the text ends with the beginning of an assistant message. Defaults to `true`. */
  addGenerationPrompt?: boolean
  /** Further variables for the template, such as `{ enable_thinking: false }`. */
  variables?: Record<string, unknown>
  /** What a template's `strftime_now` takes as the current time. Defaults to now. */
  now?: Date
}

/** A chat template with what it needs of its tokenizer. */
export class ChatTemplate {
  readonly #template: BoundedTemplate
  readonly #specialTokens: Record<string, string>
  readonly #where: string

  /**
   * @param source the template's text
   * @param specialTokens texts by name (`bos_token`, `eos_token` ...); the template sees them as variables
   * @param where the file or folder it comes from, for messages
   * @throws MagrpoError `ERR_CHAT_TEMPLATE` if the text is no valid template
   */
  constructor(source: string, specialTokens: Record<string, string>, where: string) {
    this.#specialTokens = specialTokens
    this.#where = where
    try {
      this.#template = new BoundedTemplate(source)
    } catch (cause) {
      throw this.#error('cannot be parsed', cause)
    }
  }

  /**
   * Renders messages as transformers' `apply_chat_template` does: blocks are trimmed, and templates have `messages`,
   * `add_generation_prompt`, `tools` and `documents` (none), the special tokens, `raise_exception` and `strftime_now`.
   *
   * A template ends with an error after 2 s, 4 million steps, or much more text than its messages have.
   *
   * @throws MagrpoError `ERR_CHAT_TEMPLATE` if the template fails, refuses the messages, or takes more than it may
   */
  render(messages: readonly ChatMessage[], options: ChatOptions = {}): string {
    const { addGenerationPrompt = true, variables = {}, now } = options
    try {
      const scope = new Environment(globals(now))
      const names = { tools: null, documents: null, ...this.#specialTokens, ...variables }
      for (const [name, value] of Object.entries({ ...names, messages, add_generation_prompt: addGenerationPrompt }))
        if (value !== undefined) scope.set(name, value)
      return this.#template.render(
        scope,
        messages.reduce((sum, { content }) => sum + (content?.length ?? 0), 0),
      )
    } catch (cause) {
      throw this.#error(`failed on ${messages.length} messages (${messages.map(({ role }) => role).join(', ')})`, cause)
    }
  }

  #error(what: string, cause: unknown): MagrpoError {
    const message = cause instanceof Error ? cause.message : String(cause)
    return new MagrpoError('ERR_CHAT_TEMPLATE', `The chat template of ${this.#where} ${what}: ${message}`, {
      details: { file: this.#where },
      cause,
    })
  }
}

/**
 * What templates find without being given it. The library's own `render` has the same, but a `strftime_now` in the
 * language of the machine's settings that cannot be replaced.
 */
function globals(now: Date | undefined): Environment {
  const scope = new Environment()
  const constants = { true: true, false: false, none: null, True: true, False: false, None: null }
  const functions = {
    raise_exception: (message: string) => {
      throw new Error(message)
    },
    range,
    strftime_now: (format: string) => formatTime(now ?? new Date(), format),
  }
  for (const [name, value] of Object.entries({ ...constants, ...functions })) scope.set(name, value)
  return scope
}

/** Python's `range`. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second]
  const count = Math.max(0, Math.ceil((stop - start) / step))
  if (count > maxRange) throw new Error(`it asks for a range of ${count} numbers, more than ${maxRange}`)
  return Array.from({ length: count }, (_, i) => start + i * step)
}

const months = 'January February March April May June July August September October November December'.split(' ')
const weekdays = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ')

/** Python's `strftime` in the C locale, for the directives that chat templates use; others are left as they are. */
export function formatTime(time: Date, format: string): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const month = months[time.getMonth()] as string
  const weekday = weekdays[time.getDay()] as string
  const values: Record<string, string> = {
    Y: String(time.getFullYear()),
    y: two(time.getFullYear() % 100),
    m: two(time.getMonth() + 1),
    d: two(time.getDate()),
    B: month,
    b: month.slice(0, 3),
    A: weekday,
    a: weekday.slice(0, 3),
    H: two(time.getHours()),
    M: two(time.getMinutes()),
    S: two(time.getSeconds()),
    '%': '%',
  }
  return format.replace(/%(.)/g, (directive, letter) => values[letter] ?? directive)
}
