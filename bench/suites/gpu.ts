/** A GPU's shares: decoding against its bandwidth, training against its peak, a team's step; transformers and TRL beside them. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeRandomModel } from '../../lib/check/random-model.ts'
import { cacheBytesPerToken } from '../../lib/model/memory-terms.ts'
import { softwareVariant } from '../../lib/native/addon-types.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { alternate } from '../alternate.ts'
import { agents, groupSize, learningRate, type ModelShape, makeInputs, updateOperations } from '../cases.ts'
import type { BenchOptions } from '../options.ts'
import { replaceSection } from '../report.ts'
import type { Session } from '../session.ts'
import { significant } from '../statistics.ts'
import { markdownTable, showNumber } from '../table.ts'
import { endAll, type Worker } from '../worker.ts'
import { type GpuPeer, gpuPeer } from './gpu-peer.ts'

/** One measurement on a device. */
export interface GpuRow {
  what: string
  dtype: 'float32' | 'bfloat16'
  /** Null where it could not be measured. */
  ours: number | null
  unit: 'tokens/s' | 's'
  /** Of the measured bandwidth or peak; null where neither bounds it. */
  share: number | null
  of: 'bandwidth' | 'peak' | null
  /** transformers or TRL in the same unit; null where there is none. */
  peer: number | null
  /** How many times as fast ours is. */
  ratio: number | null
  /** Why something is missing, or what the peer is. */
  note: string
}

/** What the suite measured, and where. */
export interface GpuResults {
  at: string
  device: string
  name: string
  /** False on the software device, whose numbers say nothing. */
  isGpu: boolean
  quick: boolean
  libtorch: string
  shape: ModelShape
  promptTokens: number
  newTokens: number
  /** Measured in place: a large copy, large products. */
  roofs: { bytesPerSecond: number; float32: number; bfloat16: number }
  /** Versions of the peers; the reason where there are none. */
  peers: Record<string, string> | string
  rows: GpuRow[]
}

interface Setting {
  shape: ModelShape
  promptTokens: number
  newTokens: number
  /** For the roofs. */
  bytes: number
  size: number
}

const software: Setting = {
  shape: { layers: 2, hidden: 64, heads: 4, kvHeads: 2, headDim: 16, mlp: 128, vocab: 512 },
  promptTokens: 16,
  newTokens: 4,
  bytes: 2 ** 22,
  size: 128,
}
const small: Setting = {
  shape: { layers: 12, hidden: 1024, heads: 16, kvHeads: 8, headDim: 64, mlp: 3072, vocab: 32_768 },
  promptTokens: 128,
  newTokens: 64,
  bytes: 2 ** 30,
  size: 8192,
}
/** Qwen3-0.6B's sizes. */
const large: Setting = {
  ...small,
  shape: { layers: 28, hidden: 1024, heads: 16, kvHeads: 8, headDim: 128, mlp: 3072, vocab: 151_936 },
}

/** Two models of {@link large} in training, with what PyTorch's own takes beside them. */
const bytesForLarge = 60 * 2 ** 30

/** Runs the suite. @throws MagrpoError where there is no such device */
export async function measureGpu(session: Session, options: BenchOptions): Promise<GpuResults> {
  const { device, quick } = options
  const addon = loadAddon()
  const name = addon.deviceName(device)
  const isGpu = addon.info().variant !== softwareVariant
  const hasRoom = addon.deviceMemory(device).freeBytes >= bytesForLarge
  const setting = !isGpu ? software : quick || !hasRoom ? small : large
  const { log } = session.options
  log(`gpu: roofs of ${device}, ${name}`)
  const roofs = await addon.deviceSpeed(device, { bytes: setting.bytes, size: setting.size })
  const peer = isGpu ? await gpuPeer(session) : 'PyTorch cannot use the software device'
  if (typeof peer === 'string') log(`gpu: no peers: ${peer}`)
  const results: GpuResults = {
    at: new Date().toISOString(),
    device,
    name,
    isGpu,
    quick,
    libtorch: `${addon.info().libtorchVersion} ${addon.info().variant}`,
    shape: setting.shape,
    promptTokens: setting.promptTokens,
    newTokens: setting.newTokens,
    roofs,
    peers: typeof peer === 'string' ? peer : peer.versions,
    rows: [],
  }
  const model = `gpu-${Object.values(setting.shape).join('-')}`
  await prepare(join(session.folder, 'models'), model, setting.shape)
  const trials = new Trials(session, options, { ...results, rootFolder: join(session.folder, 'models'), model }, peer)
  for (const dtype of ['float32', 'bfloat16'] as const)
    for (const rows of [1, 8, 64]) results.rows.push(await trials.decode(rows, dtype))
  for (const dtype of ['float32', 'bfloat16'] as const) results.rows.push(await trials.update(dtype))
  results.rows.push(await trials.step())
  return results
}

/** Writes the models of both agents once. */
async function prepare(root: string, model: string, shape: ModelShape): Promise<void> {
  for (let agent = 0; agent < agents; agent++) {
    const folder = join(root, `${model}-${agent}`)
    const done = join(folder, 'done')
    if (
      await readFile(done).then(
        () => true,
        () => false,
      )
    )
      continue
    await mkdir(folder, { recursive: true })
    await writeRandomModel(folder, { seed: agent, config: configOf(shape) })
    await writeFile(done, '')
  }
}

const configOf = (shape: ModelShape) => ({
  model_type: 'qwen3',
  architectures: ['Qwen3ForCausalLM'],
  dtype: 'bfloat16' as const,
  vocab_size: shape.vocab,
  hidden_size: shape.hidden,
  intermediate_size: shape.mlp,
  num_hidden_layers: shape.layers,
  num_attention_heads: shape.heads,
  num_key_value_heads: shape.kvHeads,
  head_dim: shape.headDim,
  hidden_act: 'silu',
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: true,
})

/** The rows, each with children of its own. */
class Trials {
  readonly #session: Session
  readonly #reps: number
  readonly #about: GpuResults & { rootFolder: string; model: string }
  readonly #peer: GpuPeer | string

  constructor(
    session: Session,
    { quick, reps }: BenchOptions,
    about: GpuResults & { rootFolder: string; model: string },
    peer: GpuPeer | string,
  ) {
    this.#session = session
    this.#reps = quick ? 2 : Math.min(reps, 4)
    this.#about = about
    this.#peer = peer
  }

  /** Every byte of the weights and of each row's keys and values is read once a step. */
  async decode(rows: number, dtype: GpuRow['dtype']): Promise<GpuRow> {
    const { shape, promptTokens, newTokens, roofs } = this.#about
    const seconds = await this.#measure(
      { case: 'decode', groupSize: rows, dtype },
      { case: 'device-decode', groupSize: rows, dtype },
    )
    const keys = cacheBytesPerToken({
      numLayers: shape.layers,
      numKvHeads: shape.kvHeads,
      headDim: shape.headDim,
    } as never)
    const bytes = parametersOf(shape) * (dtype === 'float32' ? 4 : 2) + rows * keys * (promptTokens + newTokens / 2)
    const rate = (time: number | null) => (time === null ? null : (rows * newTokens) / time)
    return this.#row(`decoding, ${rows} row${rows > 1 ? 's' : ''}`, dtype, seconds, {
      unit: 'tokens/s',
      shown: rate,
      share: (time) => (bytes * newTokens) / time / roofs.bytesPerSecond,
      of: 'bandwidth',
    })
  }

  /** Gradient and one step of AdamW. */
  async update(dtype: GpuRow['dtype']): Promise<GpuRow> {
    const { shape, promptTokens, newTokens, roofs } = this.#about
    const operations = updateOperations(shape, promptTokens, groupSize, newTokens)
    return this.#row(
      'update of one agent',
      dtype,
      await this.#measure({ case: 'update', dtype }, { case: 'device-update', dtype }),
      {
        unit: 's',
        shown: (time) => time,
        share: (time) => operations / time / roofs[dtype],
        of: 'peak',
      },
    )
  }

  /** Rollout, rewards and update of two agents, all weights; of TRL, which trains one policy, two steps. */
  async step(): Promise<GpuRow> {
    const seconds = await this.#measure({ case: 'step', dtype: 'float32' }, { case: 'step-trl', dtype: 'float32' })
    return this.#row("a team's step", 'float32', seconds, { unit: 's', shown: (time) => time, share: null, of: null })
  }

  #row(
    what: string,
    dtype: GpuRow['dtype'],
    { ours, peer, note }: { ours: number | null; peer: number | null; note: string },
    as: {
      unit: GpuRow['unit']
      shown(time: number | null): number | null
      share: ((time: number) => number) | null
      of: GpuRow['of']
    },
  ): GpuRow {
    const rounded = (value: number | null) => (value === null ? null : significant(value))
    return {
      what,
      dtype,
      ours: rounded(as.shown(ours)),
      unit: as.unit,
      share: ours === null || as.share === null ? null : significant(as.share(ours)),
      of: as.of,
      peer: rounded(as.shown(peer)),
      ratio: ours === null || peer === null ? null : significant(peer / ours),
      note,
    }
  }

  /** Median seconds of both sides; a side that fails says why, and the other goes on. */
  async #measure(own: Record<string, unknown>, other: Record<string, unknown>) {
    const { shape, promptTokens, newTokens, device, rootFolder: root, model } = this.#about
    this.#session.options.log(`gpu: ${own.case} ${own.groupSize ?? ''} ${own.dtype} ...`)
    const inputs = makeInputs(shape.vocab, promptTokens)
    const completions = inputs.completions.map((ids) => ids.slice(0, newTokens))
    const shared = {
      ...inputs,
      completions,
      root,
      model,
      agents,
      groupSize,
      newTokens,
      learningRate,
      adapters: false,
      device,
    }
    const visible = { CUDA_VISIBLE_DEVICES: process.env.CUDA_VISIBLE_DEVICES }
    const workers: (Worker | null)[] = []
    const notes: string[] = []
    const open = async (name: string, start: () => Promise<Worker>, request: Record<string, unknown>) => {
      const worker = await start()
      try {
        await worker.ask('open', { ...shared, ...request })
        workers.push(worker)
      } catch (error) {
        workers.push(null)
        notes.push(`${name}: ${(error as Error).message.slice(0, 200)}`)
        await endAll([worker])
      }
    }
    const peer = this.#peer
    try {
      await open('magrpo', () => this.#session.ours(visible), own)
      if (typeof peer === 'string') workers.push(null)
      else await open('peer', async () => peer.start(visible), other)
      const there = workers.filter((worker) => worker !== null)
      const spreads = await alternate(there, this.#reps)
      const of = (worker: Worker | null) => (worker === null ? null : spreads[there.indexOf(worker)]!.median)
      return { ours: of(workers[0]!), peer: of(workers[1]!), note: notes.join('; ') }
    } catch (error) {
      return { ours: null, peer: null, note: (error as Error).message.slice(0, 200) }
    } finally {
      await endAll(workers.filter((worker) => worker !== null))
    }
  }
}

function parametersOf({ layers, hidden, heads, kvHeads, headDim, mlp, vocab }: ModelShape): number {
  return layers * (hidden * headDim * (2 * heads + 2 * kvHeads) + 3 * hidden * mlp) + hidden * vocab
}

const header = ['what', 'dtype', 'magrpo', 'transformers, TRL', 'unit', 'times as fast', 'share', 'note']

/** Header and cells of the results. */
export function gpuCells({ rows }: GpuResults): { header: string[]; lines: string[][] } {
  const percent = ({ share, of }: GpuRow) => (share === null ? '–' : `${(100 * share).toPrecision(3)} % of ${of}`)
  return {
    header,
    lines: rows.map((row) => [
      row.what,
      row.dtype,
      showNumber(row.ours),
      showNumber(row.peer),
      row.unit,
      row.ratio === null ? '–' : row.ratio.toFixed(2),
      percent(row),
      row.note,
    ]),
  }
}

/** What the table is about, in sentences. */
export function gpuReport({
  at,
  device,
  name,
  isGpu,
  quick,
  libtorch,
  shape,
  promptTokens,
  newTokens,
  roofs,
  peers,
}: GpuResults): string {
  const [bandwidth, float32, bfloat16] = [roofs.bytesPerSecond / 1e9, roofs.float32 / 1e12, roofs.bfloat16 / 1e12].map(
    showNumber,
  )
  return [
    isGpu
      ? `${name} (${device}), libtorch ${libtorch}, ${at.slice(0, 10)}${quick ? ', quick' : ''}.`
      : `**Not a GPU**: ${name}. These numbers show that the suite runs, and nothing else.`,
    `A Qwen3 of ${shape.layers} layers, ${shape.hidden} wide, ${shape.vocab} tokens; prompts of ${promptTokens}, completions of ${newTokens}, groups of ${groupSize}.`,
    `Measured in place: ${bandwidth} GB/s by a large copy, ${float32} TFLOP/s in float32 and ${bfloat16} in bfloat16 by large products.`,
    typeof peers === 'string'
      ? `Without transformers and TRL: ${peers}.`
      : `Beside ${Object.entries(peers)
          .map(([peer, version]) => `${peer} ${version}`)
          .join(', ')}.`,
  ].join('\n')
}

/** What docs/gpu.md shows where nothing was measured. */
export const notMeasured = 'No GPU has run it yet.'

/** The marked part of `gpu.md`. */
export function gpuSection(results: GpuResults | null): string {
  if (results === null) return notMeasured
  const { header, lines } = gpuCells(results)
  return `${gpuReport(results)}\n\n${markdownTable(header, lines)}`
}

/** What `gpu.json` of a folder holds; null if there is none. */
export async function readGpu(folder: string): Promise<GpuResults | null> {
  try {
    return JSON.parse(await readFile(join(folder, 'gpu.json'), 'utf8')) as GpuResults
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
}

/** Records results of a GPU in a folder, and in the marked part of its `gpu.md` if it has one. @returns what was done */
export async function writeGpu(folder: string, results: GpuResults): Promise<string> {
  if (!results.isGpu) return 'nothing was recorded: the software device is no GPU'
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'gpu.json'), `${JSON.stringify(results, null, 1)}\n`)
  const page = join(folder, 'gpu.md')
  const text = await readFile(page, 'utf8').catch(() => null)
  if (text === null) return `wrote gpu.json in ${folder}`
  await writeFile(page, replaceSection(text, 'gpu', gpuSection(results)))
  return `wrote gpu.json and the table of gpu.md in ${folder}`
}
