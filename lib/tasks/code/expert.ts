/** An expert model behind an OpenAI-compatible chat endpoint, asked for edits between turns. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { z } from 'zod'
import { MagrpoError } from '../../base/errors.ts'
import { readOptions } from '../../base/validate.ts'
import { lastJsonObject } from './expert-json.ts'
import type { CodeItem } from './item.ts'
import { type ExpertOptions, expertOptions } from './options.ts'

/** What the expert would change; `null` where it would change nothing. */
interface ExpertEdits {
  aux: string | null
  main: string | null
}

/** How one turn's request went. */
interface ExpertAnswer {
  /** `null` if no attempt gave any: the turn goes on without edits. */
  edits: ExpertEdits | null
  /** Attempts after the first. */
  retries: number
}

/** A failed attempt; `mayRetry` is false where another one would fail in the same way. */
class AttemptError extends Error {
  readonly mayRetry: boolean
  readonly waitMs: number

  constructor(message: string, { mayRetry = true, waitMs = 0 } = {}) {
    super(message)
    this.mayRetry = mayRetry
    this.waitMs = waitMs
  }
}

/** What the expert is to write where it would change nothing. */
const noChange = 'no changes'

/** Longest wait that an endpoint's `Retry-After` may ask for. */
const longestWaitMs = 60_000

/** Asks an expert for edits; see {@link Expert.edit}. */
export class Expert {
  readonly #options: z.output<z.ZodObject<typeof expertOptions>> & Pick<ExpertOptions, 'log'>
  readonly #warned = new Set<string>()
  readonly #waiting: (() => void)[] = []
  #underWay = 0

  /** @throws MagrpoError `ERR_ARGUMENT` for an address that is none, or where the key's variable is not set */
  constructor(options: ExpertOptions) {
    this.#options = { ...readOptions('The expert', expertOptions, options, ['log']), log: options.log }
    if (!/^https?:\/\//.test(options.url) || !URL.canParse(options.url))
      throw new MagrpoError(
        'ERR_ARGUMENT',
        `Expected an http or https address as the expert's url but received ${JSON.stringify(options.url)}.`,
      )
    const { keyVariable } = options
    if (keyVariable !== undefined && !process.env[keyVariable])
      throw new MagrpoError(
        'ERR_ARGUMENT',
        `Expected the expert's key in the environment variable ${keyVariable}, which is not set. Set it, or leave keyVariable out.`,
      )
  }

  /**
   * Asks for edits of one joint program. An endpoint that cannot be reached, is too slow or answers nonsense is asked again
   * with growing waits; when all attempts fail there are no edits, and `log` is told.
   *
   * @param program the joint program of the last turn
   * @param agents with one there is no `aux`
   * @throws the signal's reason, and nothing else
   */
  async edit(item: CodeItem, program: string, agents: number, signal: AbortSignal): Promise<ExpertAnswer> {
    await this.#enter(signal)
    try {
      return await this.#attempts(expertMessages(item, program, agents), agents, signal)
    } finally {
      this.#underWay--
      this.#waiting.shift()?.()
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    while (this.#underWay >= this.#options.concurrency) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#underWay++
    if (!signal.aborted) return
    this.#underWay--
    this.#waiting.shift()?.()
    signal.throwIfAborted()
  }

  async #attempts(messages: object[], agents: number, signal: AbortSignal): Promise<ExpertAnswer> {
    const { attempts, backoffMs } = this.#options
    for (let attempt = 0; ; attempt++) {
      try {
        return { edits: editsOf(await this.#request(messages, signal), agents), retries: attempt }
      } catch (error) {
        signal.throwIfAborted()
        const { message, mayRetry, waitMs } =
          error instanceof AttemptError ? error : new AttemptError((error as Error).message)
        if (!mayRetry || attempt + 1 >= attempts) {
          this.#warn(message)
          return { edits: null, retries: attempt }
        }
        await sleep(Math.max(backoffMs * 2 ** attempt, waitMs), undefined, { signal }).catch(() => {})
        signal.throwIfAborted()
      }
    }
  }

  #warn(message: string): void {
    if (this.#warned.has(message)) return
    this.#warned.add(message)
    this.#options.log?.(`The expert at ${this.#options.url} gave no edits: ${message}. The turn went on without.`)
  }

  async #request(messages: object[], signal: AbortSignal): Promise<string> {
    const { url, model, keyVariable, temperature, maxTokens, timeoutMs } = this.#options
    const key = keyVariable === undefined ? undefined : process.env[keyVariable]
    const limit = AbortSignal.timeout(timeoutMs)
    try {
      const response = await fetch(`${url.replace(/\/+$/, '')}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(key && { authorization: `Bearer ${key}` }) },
        body: JSON.stringify({ model, messages, temperature, max_tokens: maxTokens }),
        signal: AbortSignal.any([signal, limit]),
      })
      const text = await response.text()
      if (!response.ok) throw statusError(response, text)
      return contentOf(text)
    } catch (error) {
      if (limit.aborted && !signal.aborted) throw new AttemptError(`no answer within ${timeoutMs} ms`)
      if (error instanceof AttemptError) throw error
      const { cause, message } = error as Error
      throw new AttemptError(`it cannot be reached (${cause instanceof Error ? cause.message || message : message})`)
    }
  }
}

function statusError(response: Response, text: string): AttemptError {
  const { status } = response
  const wait = Number(response.headers.get('retry-after'))
  return new AttemptError(`status ${status}: ${text.trim().slice(0, 200)}`, {
    mayRetry: status === 408 || status === 409 || status === 429 || status >= 500,
    waitMs: wait > 0 ? Math.min(wait * 1000, longestWaitMs) : 0,
  })
}

function contentOf(text: string): string {
  try {
    const body = JSON.parse(text) as { choices?: { message?: { content?: unknown } }[] }
    const content = body.choices?.[0]?.message?.content
    if (typeof content === 'string') return content
  } catch {
    // Said below.
  }
  throw new AttemptError('its answer is no chat completion')
}

function editsOf(content: string, agents: number): ExpertEdits {
  const keys = agents > 1 ? ['aux', 'main'] : ['main']
  const isEdits = (value: Record<string, unknown>) => keys.every((key) => typeof value[key] === 'string')
  const found = lastJsonObject(content, isEdits)
  if (found === null) throw new AttemptError(`its answer holds no JSON object with ${keys.join(' and ')} as texts`)
  const edit = (key: string) => {
    const text = agents > 1 || key === 'main' ? String(found[key]).trim() : ''
    return text === '' || text.toLowerCase().replace(/[.!]$/, '') === noChange ? null : text
  }
  return { aux: edit('aux'), main: edit('main') }
}

/** What the expert reads: the problem and the joint program; neither tests nor rewards. */
function expertMessages(item: CodeItem, program: string, agents: number): object[] {
  const authors =
    agents > 1
      ? `Two programmers solve a problem together without talking: one writes the helper 'aux', the other the main function '${item.entry_point}', which may call it.`
      : `A programmer solves a problem with the function '${item.entry_point}'.`
  const keys = agents > 1 ? "the keys 'aux' and 'main'" : "the key 'main'"
  return [
    { role: 'system', content: 'You are an expert programmer who reviews Python code and proposes precise edits.' },
    {
      role: 'user',
      content: `${authors}

The problem:

${item.prompt.trimEnd()}

The program so far:

${program.trim() || '# (nothing)'}

Find mistakes and weak points. Answer with one JSON object with ${keys} and nothing else. Each value is a text: the function with your edits, or the part to change and what to put there, or "${noChange}" if the function is fine.`,
    },
  ]
}
