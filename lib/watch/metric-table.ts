import { downsample, type Series } from './downsample.ts'

/** Metrics of a run by name, each with the steps at which it was logged. */
export class MetricTable {
  readonly #columns = new Map<string, Series>()
  /** Highest step seen. */
  lastStep = 0

  /** Adds a line of `metrics.jsonl` or `timings.jsonl`. A step that comes again replaces what was known from there on. */
  add(line: Record<string, unknown>): void {
    const { step } = line
    if (typeof step !== 'number' || !Number.isFinite(step)) return
    this.lastStep = step
    for (const [name, value] of Object.entries(line)) {
      if (name === 'step' || typeof value !== 'number') continue
      const column = this.#columns.get(name) ?? { step: [], value: [] }
      this.#columns.set(name, column)
      while (column.step.length > 0 && column.step.at(-1)! >= step) {
        column.step.pop()
        column.value.pop()
      }
      column.step.push(step)
      column.value.push(value)
    }
  }

  clear(): void {
    this.#columns.clear()
    this.lastStep = 0
  }

  /** Names, in the order they were first seen. */
  get names(): string[] {
    return [...this.#columns.keys()]
  }

  /** The last value of a metric. */
  last(name: string): number | undefined {
    return this.#columns.get(name)?.value.at(-1)
  }

  /** First and last value of a metric. */
  ends(name: string): [first: number, last: number] | undefined {
    const column = this.#columns.get(name)
    return column === undefined ? undefined : [column.value[0]!, column.value.at(-1)!]
  }

  /** A metric as a curve of at most so many points; undefined if there is none of this name. */
  series(name: string, points: number): Series | undefined {
    const column = this.#columns.get(name)
    return column && downsample(column.step, column.value, points)
  }
}
