import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { parse } from 'yaml'
import { ifMissing } from '../base/if-missing.ts'
import { checkRegularFile, readFile } from '../base/read-files.ts'
import type { SampleRow } from '../rl/types/reports.ts'
import { runFiles } from '../run/run-folder.ts'
import type { Series } from './downsample.ts'
import { asObject, JsonLinesTail, type JsonObject, type TailRead } from './json-lines-tail.ts'
import { MetricTable } from './metric-table.ts'
import { type RecordedResult, readJson, readStatus, type StatusReading } from './run-status.ts'

/** Samples that were logged together. */
export interface SampleGroup {
  step: number
  phase: SampleRow['phase']
  count: number
}

/** Where a logged sample stands in its file, in bytes. */
type SampleLine = Omit<SampleGroup, 'count'> & { offset: number; length: number }

/** What a configuration that was given no name calls its run. */
const unnamed = 'run'
/** Most rows that are given out at once. */
const maxRows = 64

/** Reads a run folder and keeps up with what is written to it. */
export class RunReader {
  readonly id: string
  readonly path: string
  readonly metrics = new MetricTable()
  result: RecordedResult | undefined
  /** What the run was set up with. */
  setup = { config: {} as JsonObject, configText: '', environment: {} as JsonObject }
  readonly #name: string
  readonly #tails: Record<'metrics' | 'timings' | 'samples', JsonLinesTail>
  readonly #timings = new MetricTable()
  #samples: SampleLine[] = []
  #warnings: string[] = []
  /** Numbers of the lines that could not be read, by file. */
  readonly #broken = new Map<string, number[]>()
  readonly #unreadable = new Map<string, string>()
  readonly #seen = new Map<string, string>()
  #changedAt = 0
  #status: StatusReading = { status: 'running', reason: '' }
  #version = 0

  /**
   * @param path the run folder
   * @param id what the run is asked for by
   * @param name what it is called until its configuration says otherwise
   */
  constructor(path: string, id: string, name: string) {
    this.path = path
    this.id = id
    this.#name = name
    const tail = (file: string) => new JsonLinesTail(join(path, file))
    this.#tails = { metrics: tail(runFiles.metrics), timings: tail(runFiles.timings), samples: tail(runFiles.samples) }
  }

  /** Reads what is new. Returns whether anything changed. */
  async refresh(now = Date.now()): Promise<boolean> {
    const changed = [
      await this.#changed(runFiles.config, () => this.#readConfig()),
      await this.#changed(runFiles.environment, () => this.#readEnvironment()),
      await this.#changed(runFiles.metrics, () => this.#tails.metrics.read((read) => this.#takeMetrics(read))),
      await this.#changed(runFiles.timings, () => this.#tails.timings.read((read) => this.#takeTimings(read))),
      await this.#changed(runFiles.samples, () => this.#tails.samples.read((read) => this.#takeSamples(read))),
      await this.#changed(runFiles.result, async () => {
        this.result = await readJson(join(this.path, runFiles.result))
      }),
    ].includes(true)
    const status = await readStatus(this.path, this.result, this.#changedAt, now)
    const isNews = changed || status.status !== this.#status.status || this.#version === 0
    this.#status = status
    if (isNews) this.#version++
    return isNews
  }

  /** The run in one line of a list. */
  get summary() {
    const { config, environment } = this.setup
    return {
      /** What the run is asked for by. */
      id: this.id,
      /** Name of the run as its configuration gives it, else that of the folder. */
      name: config.name === unnamed ? this.#name : (textOf(config.name) ?? this.#name),
      ...this.#status,
      task: textOf(config.task) ?? textOf(recordOf(config.task).name) ?? textOf(recordOf(config.task).module),
      algorithm: textOf(recordOf(config.algorithm).name),
      agents: this.#agents,
      /** Steps done, and of the whole run where that is known. */
      done: Math.max(this.metrics.lastStep, this.#timings.lastStep),
      steps: numberOf(config.steps) ?? numberOf(this.result?.steps),
      /** Last values. */
      reward: this.metrics.last('reward/mean') ?? null,
      evalReward: this.metrics.last('eval/reward/mean') ?? null,
      /** ISO 8601. */
      startedAt: textOf(environment.startedAt),
      changedAt: new Date(this.#changedAt).toISOString(),
      /** Names of all metrics and timings. */
      names: [...this.metrics.names, ...this.#timings.names],
      /** Number of logged samples. */
      samples: this.#samples.length,
      /** Warnings of the run. */
      warnings: [...this.#warnings],
      /** Things that could not be read. */
      notes: this.#notes(),
      /** Changes whenever anything of the run does. */
      version: this.#version,
    }
  }

  /** A metric or timing as a curve of at most so many points. */
  series(name: string, points: number): Series | undefined {
    return this.metrics.series(name, points) ?? this.#timings.series(name, points)
  }

  /** First and last value of a metric or timing. */
  ends(name: string): [first: number, last: number] | undefined {
    return this.metrics.ends(name) ?? this.#timings.ends(name)
  }

  /** The samples that were logged together; at most 64. */
  async samples(step: number, phase: string): Promise<SampleRow[]> {
    const lines = this.#samples.filter((line) => line.step === step && line.phase === phase).slice(0, maxRows)
    if (lines.length === 0) return []
    await checkRegularFile(this.#tails.samples.path, 'ERR_RUN')
    const file = await open(this.#tails.samples.path, 'r')
    try {
      const rows: SampleRow[] = []
      for (const { offset, length } of lines) {
        const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset)
        try {
          rows.push(JSON.parse(buffer.toString('utf8')) as SampleRow)
        } catch {
          // The file was cut back since; the next refresh sees that.
        }
      }
      return rows
    } finally {
      await file.close()
    }
  }

  get #agents(): string[] {
    const { team, task } = this.setup.config
    const agents = recordOf(team).agents ?? recordOf(task).agents
    if (Array.isArray(agents)) return agents.map((agent) => textOf(agent) ?? textOf(recordOf(agent).name) ?? '?')
    // Without names in the configuration, those in the metrics.
    const prefix = 'completion/length_mean/'
    return this.metrics.names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  }

  /** Logged samples by when they were made, oldest first. */
  get sampleGroups(): SampleGroup[] {
    const groups: SampleGroup[] = []
    for (const { step, phase } of this.#samples) {
      const last = groups.at(-1)
      if (last?.step === step && last.phase === phase) last.count++
      else groups.push({ step, phase, count: 1 })
    }
    return groups
  }

  #notes(): string[] {
    const broken = [...this.#broken].map(([file, lines]) => {
      const shown = lines.slice(0, 5).join(', ') + (lines.length > 5 ? ', …' : '')
      return lines.length === 1
        ? `${file}: line ${shown} is not readable and was skipped`
        : `${file}: ${lines.length} lines are not readable and were skipped (${shown})`
    })
    return [...broken, ...[...this.#unreadable].map(([file, message]) => `${file}: ${message}`)]
  }

  /** Whether a file changed since it was looked at; `read` is called if so. What fails is noted. */
  async #changed(name: string, read: () => Promise<unknown>): Promise<boolean> {
    const facts = await stat(join(this.path, name)).catch(() => undefined)
    const mark = facts === undefined ? 'missing' : `${facts.size} ${facts.mtimeMs} ${facts.ino}`
    if (this.#seen.get(name) === mark || (facts === undefined && !this.#seen.has(name))) return false
    this.#changedAt = Math.max(this.#changedAt, facts?.mtimeMs ?? 0)
    try {
      await read()
      this.#unreadable.delete(name)
    } catch (error) {
      this.#unreadable.set(name, `cannot be read: ${(error as Error).message}`)
    }
    this.#seen.set(name, mark)
    return true
  }

  async #readConfig(): Promise<void> {
    const text = await readFile(join(this.path, runFiles.config), 'utf8', 'ERR_RUN').catch(ifMissing(''))
    this.setup = { ...this.setup, configText: text, config: recordOf(parse(text)) }
  }

  async #readEnvironment(): Promise<void> {
    const text = await readFile(join(this.path, runFiles.environment), 'utf8', 'ERR_RUN').catch(ifMissing(''))
    this.setup = { ...this.setup, environment: text === '' ? {} : recordOf(JSON.parse(text)) }
  }

  #takeMetrics(read: TailRead): void {
    if (read.isReset) {
      this.metrics.clear()
      this.#warnings = []
    }
    for (const line of this.#whole(runFiles.metrics, read)) {
      this.metrics.add(line)
      if (!Array.isArray(line.warnings)) continue
      this.#warnings.push(...line.warnings.filter((text) => typeof text === 'string'))
    }
  }

  #takeTimings(read: TailRead): void {
    if (read.isReset) this.#timings.clear()
    for (const line of this.#whole(runFiles.timings, read)) this.#timings.add(line)
  }

  #takeSamples(read: TailRead): void {
    if (read.isReset) this.#samples = []
    this.#whole(runFiles.samples, read)
    for (const { value, offset, length } of read.lines) {
      const { step, phase } = value ?? {}
      if (typeof step === 'number' && (phase === 'train' || phase === 'eval' || phase === 'greedy'))
        this.#samples.push({ step, phase, offset, length })
    }
  }

  /** The readable lines of a piece; the others are noted. */
  #whole(file: string, { isReset, lines }: TailRead): JsonObject[] {
    if (isReset) this.#broken.delete(file)
    const broken = lines.filter(({ value }) => value === undefined).map(({ number }) => number)
    if (broken.length > 0) this.#broken.set(file, [...(this.#broken.get(file) ?? []), ...broken])
    return lines.map(({ value }) => value).filter((value) => value !== undefined)
  }
}

const recordOf = (value: unknown): JsonObject => asObject(value) ?? {}
const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null)
const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null)
