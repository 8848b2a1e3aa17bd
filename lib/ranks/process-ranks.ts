/** The other processes of a run, as this one reaches them. */
import { deserialize, serialize } from 'node:v8'
import { MagrpoError } from '../base/errors.ts'
import { packageVersion } from '../base/package-version.ts'
import type { NativeRanks } from '../native/addon-types.ts'
import { toMagrpoError } from '../native/call.ts'
import { loadAddon } from '../native/load-addon.ts'
import { placeOfProcess, type RankPlace } from './launcher.ts'

/** What a run hears of the others. */
interface Listener {
  onMessage(message: never): void
  onLost(error: MagrpoError): void
}

/** What ranks have to agree on before they do anything together. */
interface Greeting {
  /** Of this package. */
  version: string
  libtorch: string
  /** Major version, as `v20`. */
  node: string
}

let current: ProcessRanks | null | undefined

/**
 * The ranks this process is one of, as its launcher says; null where it stands alone. There is one connection a process.
 *
 * @throws MagrpoError `ERR_RANK`, see `placeOfProcess`
 */
export function ranksOfProcess(): ProcessRanks | null {
  if (current === undefined) {
    const place = placeOfProcess()
    current = place === null ? null : new ProcessRanks(place)
  }
  return current
}

/**
 * The ranks of the next run or evaluation of this process; undefined where it stands alone.
 *
 * @param columns of their grid, see `Ranks` of `lib/rl`
 * @throws MagrpoError `ERR_RANK` for columns that do not divide the ranks; see `placeOfProcess`
 */
export function ranksOfRun(columns: number): RunRanks | undefined {
  const ranks = ranksOfProcess()
  const size = ranks?.place.size ?? 1
  if (size % columns !== 0)
    throw new MagrpoError(
      'ERR_RANK',
      `Expected a multiple of ${columns} processes for a team whose agents are spread over ${columns} columns of them, but there ` +
        `${size === 1 ? 'is one' : `are ${size}`}. Start the run with --processes ${columns}, or load all agents in every process.`,
      { details: { columns, size } },
    )
  return ranks?.run(columns)
}

/** Tells the other ranks, if this process has met any, that it has done its work. */
export async function leaveRanks(): Promise<void> {
  await current?.leave()
}

/** The ranks of a process, and of the runs that it trains one after the other. */
export class ProcessRanks {
  readonly place: RankPlace
  #native: NativeRanks | undefined
  #joined: Promise<void> | undefined
  #listener: Listener | undefined
  /** What arrived before the run that it is for began. */
  #early: unknown[] = []
  #hasMet = false
  #lost: MagrpoError | undefined
  #failLost!: (error: MagrpoError) => void
  readonly #whenLost: Promise<never>
  #runs = 0
  /** Waiting for others keeps the process alive. */
  #waits = 0
  #awake: NodeJS.Timeout | undefined

  constructor(place: RankPlace) {
    this.place = place
    this.#whenLost = new Promise((_, reject) => {
      this.#failLost = reject
    })
    this.#whenLost.catch(() => {})
  }

  /** For the exchange of tensors, once joined. */
  get native(): NativeRanks | undefined {
    return this.#native
  }

  /**
   * Meets the others; once.
   *
   * @throws MagrpoError `ERR_RANK` if one does not come, or is of another version
   */
  join(): Promise<void> {
    this.#joined ??= this.#wait(this.#meet())
    return this.#joined
  }

  /**
   * The ranks of the next run. Every rank asks for as many.
   *
   * @param columns of their grid, see `Ranks` of `lib/rl`
   */
  run(columns = 1): RunRanks {
    return new RunRanks(this, `run/${this.#runs++}`, columns)
  }

  /** Connects some ranks for tensors, this one among them; they do so at about the same time. */
  async connect(members: readonly number[]): Promise<void> {
    await this.#wait(Promise.race([this.#native!.connect(Int32Array.from(members)), this.#whenLost])).catch(
      (error: unknown) => {
        const { message } = error as Error
        for (let rank = 0; rank < this.place.size; rank++) if (rank !== this.place.rank) this.tell(rank, message)
        throw toMagrpoError(error)
      },
    )
  }

  /** Takes what comes; one run at a time. */
  listen(listener: Listener | undefined): void {
    this.#listener = listener
    if (listener === undefined) return
    if (this.#lost !== undefined) listener.onLost(this.#lost)
    for (const message of this.#early.splice(0)) listener.onMessage(message as never)
  }

  tell(rank: number, message: unknown): void {
    this.#native?.tell(rank, serialize(message))
  }

  async gather<T>(name: string, value: T, signal?: AbortSignal, members?: readonly number[]): Promise<T[]> {
    signal?.throwIfAborted()
    const gathered = this.#native!.gather(name, serialize(value), members && Int32Array.from(members))
    const values = await this.#wait(unlessAborted(Promise.race([gathered, this.#whenLost]), signal))
    return values.map((each) => deserialize(each) as T)
  }

  /** Makes this rank compute with as many threads as rank 0: sums are cut by threads, and their last bits with them. */
  async shareThreads(name: string): Promise<void> {
    const addon = loadAddon()
    const [threads] = await this.gather(name, addon.info().threads)
    if (threads !== addon.info().threads) addon.setThreads(threads!)
  }

  /** Says good-bye, at the end of the process's work. */
  async leave(): Promise<void> {
    this.#listener = undefined
    process.off('disconnect', this.#onDisconnect)
    const native = this.#native
    this.#native = undefined
    // What still waits for others would keep the process alive.
    this.#failLost(new MagrpoError('ERR_RANK', 'This rank has ended its run.'))
    await native?.dispose()
  }

  async #meet(): Promise<void> {
    const addon = loadAddon()
    this.#hearLauncher()
    const { launcher: _, localRank: __, ...place } = this.place
    this.#native = addon.openRanks(place, {
      onMessage: (from, bytes) => {
        const message: unknown = deserialize(bytes)
        if (typeof message === 'string') this.#lose(from, message)
        else if (this.#listener === undefined) this.#early.push(message)
        else this.#listener.onMessage(message as never)
      },
      onLost: (rank, why) => this.#lose(rank, why),
    })
    const [node] = process.version.split('.')
    const own: Greeting = { version: await packageVersion(), libtorch: addon.info().libtorchVersion, node: node! }
    // As JSON: what v8 writes, another version of Node may not read.
    const said = await Promise.race([this.#native.join(Buffer.from(JSON.stringify(own))), this.#whenLost]).catch(
      (error: unknown) => {
        throw toMagrpoError(error)
      },
    )
    const all = said.map((bytes) => JSON.parse(Buffer.from(bytes).toString()) as Greeting)
    for (const name of ['version', 'libtorch', 'node'] as const) {
      const rank = all.findIndex((each) => each[name] !== all[0]![name])
      if (rank >= 0)
        throw new MagrpoError(
          'ERR_RANK',
          `Expected the same ${name === 'version' ? 'version of magrpo' : name} on every rank, but it is ${all[rank]![name]} on rank ${rank} and ${all[0]![name]} on rank 0.`,
        )
    }
    this.#hasMet = true
  }

  /** `--processes` knows at once that a rank has died; and without it nobody would end the ranks that are left. */
  #hearLauncher(): void {
    if (!process.connected) return
    process.on('message', (message) => {
      const { lost, why } = message as { lost?: number; why?: string }
      if (typeof lost === 'number') this.#lose(lost, String(why))
    })
    process.on('disconnect', this.#onDisconnect)
    process.channel?.unref()
  }

  readonly #onDisconnect = () => process.kill(process.pid, 'SIGTERM')

  #lose(rank: number, why: string): void {
    if (this.#lost !== undefined) return
    const message = this.#hasMet
      ? `Expected all ${this.place.size} ranks to go on, but rank ${rank} is gone: ${why}. What the last checkpoint holds goes on with: magrpo resume RUN`
      : `Expected to meet rank ${rank}, but ${why}.`
    this.#lost = new MagrpoError('ERR_RANK', message, { details: { rank } })
    this.#failLost(this.#lost)
    this.#listener?.onLost(this.#lost)
  }

  async #wait<T>(promise: Promise<T>): Promise<T> {
    if (this.#waits++ === 0) this.#awake = setInterval(() => {}, 1 << 30)
    try {
      return await promise
    } finally {
      if (--this.#waits === 0) clearInterval(this.#awake)
    }
  }
}

/** The ranks of one run; satisfies `Ranks` of `lib/rl`. */
export class RunRanks {
  readonly rank: number
  readonly size: number
  readonly columns: number
  readonly #process: ProcessRanks
  readonly #name: string

  constructor(process: ProcessRanks, name: string, columns: number) {
    this.#process = process
    this.#name = name
    this.columns = columns
    this.rank = process.place.rank
    this.size = process.place.size
  }

  get native(): NativeRanks | undefined {
    return this.#process.native
  }

  async begin(listener: Listener): Promise<void> {
    await this.#process.join()
    const rows = this.size / this.columns
    const first = this.rank - (this.rank % rows)
    if (rows > 1) {
      const members = Array.from({ length: rows }, (_, row) => first + row)
      // A rank that has ended meanwhile would be waited for.
      await this.gather(`connect/${first}`, null, undefined, members)
      await this.#process.connect(members)
    }
    this.#process.listen({
      onMessage: ({ run, message }: { run: string; message: never }) => {
        if (run === this.#name) listener.onMessage(message)
      },
      onLost: (error) => listener.onLost(error),
    })
  }

  alike(): Promise<void> {
    return this.#process.shareThreads(`${this.#name}/threads`)
  }

  gather<T>(name: string, value: T, signal?: AbortSignal, members?: readonly number[]): Promise<T[]> {
    return this.#process.gather(`${this.#name}/${name}`, value, signal, members)
  }

  tell(message: unknown, to?: number): void {
    const others = [...Array(this.size).keys()].filter((rank) => rank !== this.rank)
    for (const rank of to === undefined ? others : [to]) this.#process.tell(rank, { run: this.#name, message })
  }

  end(): void {
    this.#process.listen(undefined)
  }
}

async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  let onAbort!: () => void
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
