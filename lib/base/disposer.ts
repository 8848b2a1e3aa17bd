/** What frees memory, processes or files. */
interface Disposable {
  dispose(): Promise<void>
}

/** Frees what was made, the newest first. */
export class Disposer implements Disposable {
  readonly #steps: (() => unknown)[] = []

  /** What `make` gives; if it fails, what the disposer took over until then is freed. */
  static async guard<T>(make: (disposer: Disposer) => Promise<T>): Promise<T> {
    const disposer = new Disposer()
    try {
      return await make(disposer)
    } catch (error) {
      await disposer.dispose()
      throw error
    }
  }

  /** Takes over a thing. @returns the same thing */
  use<T extends Disposable>(thing: T): T {
    this.#steps.push(() => thing.dispose())
    return thing
  }

  /** Takes over something to do, which may be asynchronous. */
  defer(step: () => unknown): void {
    this.#steps.push(step)
  }

  /** Frees everything, also after a failure, and throws the first one. Calling it twice is fine. */
  async dispose(): Promise<void> {
    const failures: unknown[] = []
    for (const step of this.#steps.splice(0).reverse()) {
      try {
        await step()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
