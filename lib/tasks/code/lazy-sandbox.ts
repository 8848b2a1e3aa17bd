/** A sandbox that starts with its first program, and the memory of what was found out about programs. */

import { PythonSandbox } from '../../sandbox/python-sandbox.ts'
import type { SandboxOptions } from '../../sandbox/types.ts'

/** A sandbox that is given, or that starts when it is first needed. */
export class LazySandbox<Runner = PythonSandbox> {
  readonly #given: Runner | undefined
  readonly #options: SandboxOptions | undefined
  #own: Promise<PythonSandbox> | undefined

  /**
   * @param given a sandbox to share; it is not disposed with this
   * @param options of the sandbox that is started if none is given
   */
  constructor(given: Runner | undefined, options: SandboxOptions | undefined) {
    this.#given = given
    this.#options = options
  }

  /**
   * The sandbox; a start that failed is tried again by the next call.
   *
   * @throws SandboxError `ERR_SANDBOX_UNAVAILABLE`, see `PythonSandbox.start`
   */
  async get(): Promise<Runner | PythonSandbox> {
    if (this.#given !== undefined) return this.#given
    this.#own ??= PythonSandbox.start(this.#options).catch((error: unknown) => {
      this.#own = undefined
      throw error
    })
    return this.#own
  }

  /** Ends the sandbox that was started here, if one was. */
  async dispose(): Promise<void> {
    const own = await this.#own?.catch(() => undefined)
    this.#own = undefined
    await own?.dispose()
  }
}

/** Verdicts on programs by a key that names all that decides about them, so that equal programs run once. */
export class VerdictMemory<Verdict> {
  readonly #limit: number
  readonly #runs = new Map<string, { verdict: Promise<Verdict>; signal: AbortSignal | undefined }>()

  /** @param limit most verdicts that are kept; the oldest go first */
  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * The verdict that is known, or under way, or that `run` gives.
   *
   * A failure is not kept: it says nothing about the program. Nor does it fail others who wait for the same run if it was an abort
   * that is not theirs; one of them then runs the program itself.
   *
   * @param signal aborts `run`
   */
  async get(key: string, signal: AbortSignal | undefined, run: () => Promise<Verdict>): Promise<Verdict> {
    for (;;) {
      const known = this.#runs.get(key)
      if (known === undefined) return this.#keep(key, signal, run())
      try {
        return await known.verdict
      } catch (error) {
        signal?.throwIfAborted()
        if (!known.signal?.aborted) throw error
      }
    }
  }

  #keep(key: string, signal: AbortSignal | undefined, verdict: Promise<Verdict>): Promise<Verdict> {
    const own = { verdict, signal }
    this.#runs.set(key, own)
    for (const oldest of this.#runs.keys()) {
      if (this.#runs.size <= this.#limit) break
      this.#runs.delete(oldest)
    }
    verdict.then(
      // A signal holds its listeners; thousands of verdicts must not.
      () => (own.signal = undefined),
      () => this.#runs.get(key) === own && this.#runs.delete(key),
    )
    return verdict
  }
}
