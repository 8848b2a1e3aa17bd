import { basename } from 'node:path'
import { findRuns } from './find-runs.ts'
import { RunReader } from './run-reader.ts'

/** Every so many refreshes new run folders are looked for. */
const searchEvery = 5

/** All runs of some places, kept up to date. */
export class RunList {
  readonly #places: readonly string[]
  readonly #readers = new Map<string, RunReader>()
  #refreshes = 0
  #underWay: Promise<string[]> | undefined

  /** @param places run folders, or folders of runs; see {@link findRuns} */
  constructor(places: readonly string[]) {
    this.#places = places
  }

  get readers(): RunReader[] {
    return [...this.#readers.values()]
  }

  get(id: string): RunReader | undefined {
    return this.#readers.get(id)
  }

  /** Reads what is new; returns ids of the runs that changed. Calls at the same time share one refresh. */
  refresh(): Promise<string[]> {
    this.#underWay ??= this.#refresh().finally(() => {
      this.#underWay = undefined
    })
    return this.#underWay
  }

  async #refresh(): Promise<string[]> {
    if (this.#refreshes++ % searchEvery === 0)
      for (const { path, id } of await findRuns(this.#places))
        if (!this.#readers.has(id)) this.#readers.set(id, new RunReader(path, id, basename(path)))
    const changed: string[] = []
    for (const reader of this.#readers.values()) if (await reader.refresh()) changed.push(reader.id)
    return changed
  }
}
