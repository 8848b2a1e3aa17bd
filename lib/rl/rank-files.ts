/**
 * Files of a team whose agents or optimizers are spread over ranks. Rank 0 keeps the run, and asks for them; the first rank of each column
 * writes those of its agents, of which the others of the column may have a part: into rank 0's folder where it sees it, else into one of its
 * own, from which they are sent.
 */
import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve, sep } from 'node:path'
import { MagrpoError } from '../base/errors.ts'
import { describeThrown } from '../base/thrown.ts'
import { fromFirst, type GridPlace, placeInGrid, type Ranks, rankAt } from './backend/ranks.ts'
import type { TrainingBackend } from './backend/training-backend.ts'

/** Bytes of a file that are sent at once. */
const partBytes = 4 << 20

/** What rank 0 asks for: files, or that the others go on, for a while or to their end. */
type Order = { kind: 'on' | 'end' | 'listen' } | FileOrder

/** Files of what is trained, or of the agents as others open them. `mark` is the name of a file that lies in the folder. */
interface FileOrder {
  kind: 'weights' | 'team'
  number: number
  directory: string
  mark: string
  policies: readonly number[]
}

/** A piece of what is sent. */
type Part = { path: string; bytes: Uint8Array } | { end: true } | { error: string }

/**
 * The files of one run. Rank 0 writes them all by itself where it holds all agents and the whole of their optimizers.
 *
 * Ranks may meet here at different places, one of them after a step and one at the end of its run, since each hears at another moment that
 * the run is to stop: all of them hear the same orders, one after the other.
 */
export class RankFiles {
  readonly #backend: TrainingBackend
  readonly #ranks: Ranks
  readonly #place: GridPlace
  readonly #moments: string
  /** Whether optimizers are spread over the ranks of a column, which then write together. */
  readonly #isSpread: boolean
  #orders = 0
  #transfers = 0
  /** What this rank writes for rank 0. */
  readonly #underWay = new Map<number, Promise<void>>()
  /** On rank 0: orders that are about to be given, and whether somebody hears them. */
  #given: Promise<unknown> = Promise.resolve()
  #isHeard = false
  #isOver = false

  constructor(backend: TrainingBackend, ranks: Ranks, { sharded, moments }: { sharded: boolean; moments: string }) {
    this.#backend = backend
    this.#ranks = ranks
    this.#place = placeInGrid(ranks)
    this.#moments = moments
    this.#isSpread = sharded && this.#place.rows > 1
  }

  /** Whether rank 0 needs the others for its files. */
  get isSplit(): boolean {
    return this.#place.columns > 1 || this.#isSpread
  }

  /**
   * Does what may ask for files, on rank 0; the others do what is asked for meanwhile.
   *
   * @param after whether the run goes on afterwards, or ends
   */
  async during(after: 'on' | 'end', work: () => Promise<void>): Promise<void> {
    if (!this.isSplit) return work()
    if (this.#ranks.rank !== 0) return this.#obey(after)
    // What the others said before they came here is heard first.
    if (after === 'end') await this.#say({ kind: 'listen' })
    this.#isHeard = true
    const [end] = await Promise.allSettled([work()])
    this.#isHeard = false
    await this.#given
    await this.#say({ kind: after })
    if (end.status === 'rejected') throw end.reason
  }

  async #obey(after: 'on' | 'end'): Promise<void> {
    while (!this.#isOver) {
      const order = await this.#say(null)
      if (order.kind === 'on' && after === 'on') return
      this.#isOver = order.kind === 'end'
      if (!('number' in order)) continue
      // Once the core was handed what it is to write, training may go on.
      await new Promise<void>((handedOver) => {
        const writing = this.#follow(order, handedOver).finally(() => this.#underWay.delete(order.number))
        this.#underWay.set(order.number, writing)
        void writing.finally(handedOver)
      })
    }
  }

  /** Waits for what this rank still writes. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay.values())
  }

  /** `SaveTeam` of all agents. */
  readonly save = (directory: string): Promise<void> => this.#write('team', directory, [])

  /** Writes what is trained as it is at the call, see `WeightFiles.write`. */
  write(directory: string, policies: readonly number[]): Promise<void> {
    return this.#write('weights', directory, policies)
  }

  /**
   * Reads what {@link write} wrote; all ranks call it.
   *
   * @param directory null on ranks other than 0, which alone know it
   */
  async read(directory: string | null, policies: readonly number[]): Promise<void> {
    const own = policies.filter((policy) => this.#holds(policy))
    const { column, row, columns } = this.#place
    if (column > 0 && row === 0) return this.#readFromFirst(own)
    if (column === 0) await this.#readOwn(directory, own)
    if (columns === 1) return
    const mark = directory === null ? '' : await leaveMark(directory)
    await fromFirst(this.#ranks, 'state', () => ({ directory: resolve(directory!), mark }))
    if (column > 0) return this.#readOwn(null, own)
    if (directory === null) return
    await Promise.all(this.#others.map((other) => this.#giveState(directory, other, policies)))
    await rm(join(directory, mark), { force: true })
  }

  /** What the first rank of a column other than 0 reads. */
  async #readFromFirst(own: readonly number[]): Promise<void> {
    const { column } = this.#place
    const where = await fromFirst<{ directory: string; mark: string }>(this.#ranks, 'state', () => {
      throw new Error('rank 0 alone knows')
    })
    const sees = isMarked(where.directory, where.mark)
    await this.#pair(`state/${column}`, column, sees)
    await inFolder(sees ? where.directory : null, async (folder) => {
      if (!sees) await this.#receive(`state/${column}/files`, column, folder)
      await this.#readOwn(folder, own)
    })
  }

  /** Sends a column what its first rank does not see. */
  async #giveState(directory: string, column: number, policies: readonly number[]): Promise<void> {
    const [, sees] = await this.#pair(`state/${column}`, column, false)
    if (sees) return
    const { weights, columnOf } = this.#backend
    const prefixes = policies
      .filter((policy) => columnOf!(policy) === column)
      .map((policy) => `${weights.prefixOf(policy)}.`)
    const names = (await readdir(directory)).filter((name) => prefixes.some((prefix) => name.startsWith(prefix)))
    await this.#send(`state/${column}/files`, column, directory, names)
  }

  /** Fills this column's policies; all of its ranks call it, the first one with the folder. */
  async #readOwn(folder: string | null, own: readonly number[]): Promise<void> {
    const { weights, engine } = this.#backend
    if (this.#isSpread) return weights.spread!.read(folder, own)
    if (folder !== null) await weights.read(folder, own)
    if (this.#place.rows > 1) for (const policy of own) await engine.sums!.copyFromFirst(policy, this.#moments)
  }

  async #write(kind: 'weights' | 'team', directory: string, policies: readonly number[]): Promise<void> {
    if (!this.isSplit) return this.#writeOwn(kind, directory, policies)
    if (!this.#isHeard)
      throw new MagrpoError(
        'ERR_ARGUMENT',
        'Expected files of a run whose agents or optimizers are spread over ranks to be written before onSnapshot, onBest or onEnd ' +
          'returns, but it was later: the ranks have gone on. Call write() there and return its promise.',
      )
    const number = this.#transfers++
    const before = this.#given
    const begin = async () => {
      // What is spread is written by all ranks together, one thing after the other.
      if (this.#isSpread) await before
      const mark = await leaveMark(directory)
      await this.#say({ kind, number, directory: resolve(directory), mark, policies })
      return mark
    }
    const given = begin()
    const own = this.#isSpread
      ? given.then(() => this.#writeOwn(kind, directory, policies))
      : this.#writeOwn(kind, directory, policies)
    this.#given = Promise.allSettled(this.#isSpread ? [before, given, own] : [before, given])
    const mark = await given
    const received = this.#others.map((column) => this.#receive(`files/${number}/${column}`, column, directory))
    const ends = await Promise.allSettled([own, ...received])
    await rm(join(directory, mark), { force: true })
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }

  #writeOwn(kind: 'weights' | 'team', directory: string, policies: readonly number[]): Promise<void> {
    const { save, weights } = this.#backend
    const own = policies.filter((policy) => this.#holds(policy))
    if (kind === 'team') return save(directory)
    return this.#isSpread ? weights.spread!.write(directory, own) : weights.write(directory, own)
  }

  async #follow({ kind, number, directory, mark, policies }: FileOrder, onHandedOver: () => void): Promise<void> {
    const { column, row } = this.#place
    if (row !== 0) {
      const own = policies.filter((policy) => this.#holds(policy))
      // The first rank of the column tells of what goes wrong.
      if (this.#isSpread && kind === 'weights') await this.#backend.weights.spread!.write(null, own).catch(() => {})
      return
    }
    const name = `files/${number}/${column}`
    const sees = isMarked(directory, mark)
    await inFolder(sees ? directory : null, async (folder) => {
      try {
        const written = this.#writeOwn(kind, folder, policies)
        if (!this.#isSpread) onHandedOver()
        await written
      } catch (error) {
        await this.#pair<Part | null>(`${name}/0`, column, { error: describeThrown(error) })
        return
      }
      await this.#send(name, column, folder, sees ? [] : await filesBelow(folder))
      // Rank 0 tells of what goes wrong.
    }).catch(() => {})
  }

  /** Sends files, one part after the other. */
  async #send(name: string, column: number, folder: string, paths: readonly string[]): Promise<void> {
    let number = 0
    const give = (part: Part) => this.#pair<Part | null>(`${name}/${number++}`, column, part)
    for (const path of paths) {
      const file = await open(join(folder, path))
      try {
        const buffer = new Uint8Array(partBytes)
        let isFirst = true
        for (;;) {
          const { bytesRead } = await file.read(buffer)
          if (bytesRead > 0 || isFirst) await give({ path, bytes: buffer.subarray(0, bytesRead) })
          isFirst = false
          if (bytesRead === 0) break
        }
      } finally {
        await file.close()
      }
    }
    await give({ end: true })
  }

  async #receive(name: string, column: number, folder: string): Promise<void> {
    let file: { path: string; handle: Awaited<ReturnType<typeof open>> } | undefined
    const close = async () => {
      await file?.handle.sync()
      await file?.handle.close()
      file = undefined
    }
    try {
      for (let number = 0; ; number++) {
        const pair = await this.#pair<Part | null>(`${name}/${number}`, column, null)
        const part = pair.find((each) => each !== null)!
        if ('error' in part)
          throw new MagrpoError(
            'ERR_RUN',
            `Rank ${rankAt(this.#place, column, 0)} could not write its agents: ${part.error}`,
          )
        if ('end' in part) return
        if (part.path !== file?.path) {
          await close()
          const path = pathBelow(folder, part.path)
          await mkdir(dirname(path), { recursive: true })
          file = { path: part.path, handle: await open(path, 'w') }
        }
        await file.handle.writeFile(part.bytes)
      }
    } finally {
      await close()
    }
  }

  #holds(policy: number): boolean {
    return (this.#backend.columnOf?.(policy) ?? 0) === this.#place.column
  }

  /** Columns besides that of rank 0. */
  get #others(): number[] {
    return Array.from({ length: this.#place.columns - 1 }, (_, i) => i + 1)
  }

  /** What rank 0 and the first rank of a column tell each other. */
  #pair<T>(name: string, column: number, value: T): Promise<T[]> {
    return this.#ranks.gather(name, value, undefined, [0, rankAt(this.#place, column, 0)])
  }

  async #say(order: Order | null): Promise<Order> {
    return (await this.#ranks.gather(`order/${this.#orders++}`, order))[0]!
  }
}

/** Leaves an empty file by which another process can tell that it sees the same folder. */
async function leaveMark(directory: string): Promise<string> {
  const mark = `.seen-${randomUUID()}`
  await writeFile(join(directory, mark), '')
  return mark
}

/** Whether a folder is the one with this mark. A name that leaveMark() does not make is none. */
function isMarked(directory: string, mark: string): boolean {
  return /^\.seen-[\da-f-]{36}$/.test(mark) && existsSync(join(directory, mark))
}

/** A path that another rank named, below the folder that it is for. @throws MagrpoError `ERR_RANK` if it leads out of it */
function pathBelow(folder: string, path: string): string {
  const whole = resolve(folder, path)
  if (whole.startsWith(`${resolve(folder)}${sep}`)) return whole
  throw new MagrpoError('ERR_RANK', `Expected files below ${folder} from another rank but received one for ${whole}.`, {
    details: { path },
  })
}

/** Works in a folder, or in one of its own that is removed afterwards. */
async function inFolder(directory: string | null, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = directory ?? (await mkdtemp(join(tmpdir(), 'magrpo-files-')))
  try {
    await work(folder)
  } finally {
    if (directory === null) await rm(folder, { recursive: true, force: true })
  }
}

/** Paths of all files below a folder, from it. */
async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}
