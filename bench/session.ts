/** What all trials of one call of the benchmark share: children, models, and gates that have been passed. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { adapterRank, agents, groupSize, learningRate, makeInputs, models, newTokens } from './cases.ts'
import { compileOurs } from './compiled.ts'
import { compareGates, type GateReport } from './gate.ts'
import { peersEnvironment } from './peers/index.ts'
import { endAll, RankGroup, Worker } from './worker.ts'

/** Settings of a call. */
export interface SessionOptions {
  /** Trials a side and row. */
  reps: number
  /** Threads of both sides. */
  threads: number
  /** Takes what is going on, a line at a time. */
  log(line: string): void
}

const root = fileURLToPath(new URL('.', import.meta.url))

/** Starts children and remembers what has been prepared. */
export class Session {
  readonly options: SessionOptions
  /** Versions that children told. */
  readonly versions: Record<string, string> = {}
  /** Folder of models and results. */
  readonly folder = peersEnvironment.benchFolder()
  readonly #prepared = new Map<string, Promise<void>>()
  readonly #gates = new Map<string, Promise<GateReport>>()
  #compiled: Promise<string> | undefined
  #python: Promise<string> | undefined

  constructor(options: SessionOptions) {
    this.options = options
  }

  /** Environment of the children: so many OpenMP threads, nothing from a network, no graphics card. */
  get env(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      OMP_NUM_THREADS: String(this.options.threads),
      TOKENIZERS_PARALLELISM: 'false',
      HF_HUB_OFFLINE: '1',
      CUDA_VISIBLE_DEVICES: '',
      WANDB_MODE: 'disabled',
    }
  }

  /** A child of ours; the first one has our side compiled. */
  async ours(env: NodeJS.ProcessEnv = {}): Promise<Worker> {
    this.#compiled ??= compileOurs()
    return new Worker('magrpo', process.execPath, [await this.#compiled], { ...this.env, ...env })
  }

  /** A child of the peers; the first one makes their environment. */
  async peer(env: NodeJS.ProcessEnv = {}): Promise<Worker> {
    this.#python ??= peersEnvironment.ensurePeersPython({ log: this.options.log })
    const python = await this.#python
    return new Worker('peer', python, [join(root, 'peers/worker.py')], { ...this.env, ...env })
  }

  /** Children of one side as the ranks of one trial, each with its share of the threads. */
  async ranks(count: number, start: (env: NodeJS.ProcessEnv) => Promise<Worker>): Promise<RankGroup> {
    const threads = String(Math.max(1, Math.floor(this.options.threads / count)))
    const port = String(20_000 + Math.floor(Math.random() * 10_000))
    const place = { WORLD_SIZE: String(count), MASTER_ADDR: '127.0.0.1', MASTER_PORT: port, OMP_NUM_THREADS: threads }
    const workers: Worker[] = []
    for (let rank = 0; rank < count; rank++)
      workers.push(await start({ ...place, RANK: String(rank), LOCAL_RANK: String(rank) }))
    return new RankGroup(workers)
  }

  /** The fields that all requests for a model share. */
  request(model: string, promptTokens = 128): Record<string, unknown> {
    const shape = models[model]!
    const inputs = makeInputs(shape.vocab, promptTokens)
    return { ...inputs, root: this.folder, model, agents, groupSize, newTokens, learningRate, adapters: false }
  }

  /** Lets the peer write a model's weights where they are missing. */
  prepare(model: string): Promise<void> {
    const known = this.#prepared.get(model)
    if (known !== undefined) return known
    const work = (async () => {
      const peer = await this.peer()
      try {
        await peer.ask('prepare', { ...this.request(model), shape: models[model]!, rank: adapterRank })
        await this.#noteVersions(peer)
      } finally {
        await endAll([peer])
      }
    })()
    this.#prepared.set(model, work)
    return work
  }

  /** Whether both sides compute the same, once per call for each kind. */
  gate(model: string, kind: { promptTokens: number; adapters: boolean; trains: boolean }): Promise<GateReport> {
    const key = JSON.stringify([model, kind])
    const known = this.#gates.get(key)
    if (known !== undefined) return known
    const work = this.#checkGate(model, kind)
    this.#gates.set(key, work)
    return work
  }

  async #checkGate(
    model: string,
    kind: { promptTokens: number; adapters: boolean; trains: boolean },
  ): Promise<GateReport> {
    await this.prepare(model)
    const name = `gate-${model}-${kind.promptTokens}${kind.adapters ? '-lora' : ''}`
    const [ours, peer] = [await this.ours(), await this.peer()]
    try {
      const folders = { ours: join(this.folder, name, 'ours'), peer: join(this.folder, name, 'peer') }
      const request = { ...this.request(model, kind.promptTokens), adapters: kind.adapters, trains: kind.trains }
      await peer.ask('gate', { ...request, folder: folders.peer })
      await ours.ask('gate', { ...request, folder: folders.ours })
      await this.#noteVersions(ours)
      return await compareGates(folders.ours, folders.peer, kind.trains)
    } finally {
      await endAll([ours, peer])
    }
  }

  async #noteVersions(worker: Worker): Promise<void> {
    for (const [name, value] of Object.entries(await worker.ask<Record<string, unknown>>('versions')))
      this.versions[`${worker.name}/${name}`] = String(value)
  }
}
