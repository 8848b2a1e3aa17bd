/** Rows against what the machine allows, measured in the same run. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { alternate, runTrial } from '../alternate.ts'
import { forwardOperations, groupSize, models, newTokens, updateOperations } from '../cases.ts'
import { benchProgram } from '../native-program.ts'
import { startNeighbour } from '../neighbour.ts'
import type { CaseRequest } from '../ours/request.ts'
import { finishRow, type Row, type RowSpec } from '../rows.ts'
import type { Session } from '../session.ts'
import { median, significant, spreadOf, type Trial } from '../statistics.ts'
import { endAll, type Worker } from '../worker.ts'
import { whyNot } from './peers.ts'

/** One row for one model, if ours computes what the peer computes. @throws Error where it cannot be measured */
export async function limitsRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  const row = await measuredRow(session, spec, model)
  // The peer wrote no other models; SmolLM2's numbers are held against transformers by the tests.
  if (models[model] === undefined) return row
  const { why } = whyNot(
    await session.gate(model, { promptTokens: 128, adapters: spec.id === 'agents-4', trains: true }),
  )
  return why === undefined ? row : { ...row, ratio: null, why }
}

function measuredRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  switch (spec.id) {
    case 'decode-roof':
      return decodeRoof(session, spec, model)
    case 'train-roof':
      return trainRoof(session, spec, model)
    case 'agents-4':
      return fourAgents(session, spec, model)
    case 'sampling':
      return filteredSampling(session, spec, model)
    default:
      return besideNeighbour(session, spec, model, spec.id === 'neighbour-gen' ? 'gen' : 'update')
  }
}

/** Prompts and completions of the decode trials: the difference of two lengths leaves out the prompt. */
const [shortCompletion, longCompletion] = [16, 80]

/** A model folder of the fixtures, or of the models that the peer writes. */
async function sourceOf(session: Session, model: string): Promise<string> {
  if (models[model] !== undefined) {
    await session.prepare(model)
    return join(session.folder, `${model}-0`)
  }
  const folder = join(session.folder, '..', 'fixtures', 'SmolLM2-135M-Instruct')
  if (!existsSync(join(folder, 'config.json')))
    throw new Error(`${model} is not in the cache: python3 scripts/fixtures/smollm2.py fetches it`)
  return folder
}

/** Opens a child that decodes `rows` rows of `tokens` tokens. */
async function openDecode(
  session: Session,
  source: string,
  rows: number,
  tokens: number,
  dtype: string,
  sampling?: CaseRequest['sampling'],
): Promise<Worker> {
  const worker = await session.ours()
  const promptIds = Array.from({ length: 32 }, (_, i) => 3 + i)
  try {
    await worker.ask('open', { case: 'decode', source, dtype, promptIds, groupSize: rows, newTokens: tokens, sampling })
    return worker
  } catch (error) {
    await endAll([worker])
    throw error
  }
}

async function decodeRoof(session: Session, spec: RowSpec, model: string): Promise<Row> {
  const source = await sourceOf(session, model)
  const workers: Worker[] = []
  try {
    for (const tokens of [shortCompletion, longCompletion])
      workers.push(await openDecode(session, source, 1, tokens, 'float32'))
    const bytes = await workers[0]!.ask<number>('weightBytes')
    for (const worker of workers) await worker.ask('run')
    const trials: Trial[][] = [[], []]
    const bandwidths: number[] = []
    for (let rep = 0; rep < session.options.reps; rep++) {
      for (const [index, worker] of workers.entries()) trials[index]!.push(await runTrial(worker))
      bandwidths.push(await readBandwidth(session, bytes))
    }
    const [short, long] = trials.map(spreadOf)
    const step = (long!.median - short!.median) / (longCompletion - shortCompletion)
    const best = (long!.min - short!.min) / (longCompletion - shortCompletion)
    return finishRow(spec, model, {
      ours: significant(bytes / step / 1e9),
      peer: significant(median(bandwidths) / 1e9),
      details: { weightBytes: bytes, stepSeconds: step, bestStepSeconds: best, short, long, bandwidths },
    })
  } finally {
    await endAll(workers)
  }
}

async function filteredSampling(session: Session, spec: RowSpec, model: string): Promise<Row> {
  const source = await sourceOf(session, model)
  const workers: Worker[] = []
  try {
    for (const sampling of [{ temperature: 0.7, topP: 0.9 }, undefined])
      workers.push(await openDecode(session, source, groupSize, longCompletion, 'float32', sampling))
    const [filtered, plain] = await alternate(workers, session.options.reps)
    const rate = (seconds: number) => significant((groupSize * longCompletion) / seconds)
    return finishRow(spec, model, {
      ours: rate(filtered!.median),
      peer: rate(plain!.median),
      details: { filtered, plain },
    })
  } finally {
    await endAll(workers)
  }
}

/** Bytes a second that all threads read from a buffer of a size. */
export async function readBandwidth({ options, env }: Session, bytes: number): Promise<number> {
  const args = ['roof', String(bytes), String(options.threads)]
  return (await benchProgram<{ bandwidth: number }>(args, { log: options.log, env }))[0]!.bandwidth
}

/** Operations a second of libtorch's product at its best. */
async function productPeak({ options, env }: Session): Promise<number> {
  const args = ['product', String(options.threads)]
  return (await benchProgram<{ peak: number }>(args, { log: options.log, env }))[0]!.peak
}

async function trainRoof(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const worker = await session.ours()
  try {
    await worker.ask('open', { ...session.request(model), case: 'update' })
    await worker.ask('run')
    const trials: Trial[] = []
    const peaks: number[] = []
    for (let rep = 0; rep < session.options.reps; rep++) {
      trials.push(await runTrial(worker))
      peaks.push(await productPeak(session))
    }
    const update = spreadOf(trials)
    const operations = updateOperations(models[model]!, 128, groupSize, newTokens)
    return finishRow(spec, model, {
      ours: significant(operations / update.median / 1e9),
      peer: significant(median(peaks) / 1e9),
      details: { operations, update, peaks },
    })
  } finally {
    await endAll([worker])
  }
}

/** The bar is three times one agent's rate, or 65 % of what the product could give if that is less. */
async function fourAgents(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const workers: Worker[] = []
  try {
    for (const agents of [1, 4]) {
      const worker = await session.ours()
      workers.push(worker)
      await worker.ask('open', { ...session.request(model), case: 'gen', adapters: true, agents })
    }
    const [one, four] = await alternate(workers, session.options.reps)
    const rate = (agents: number, seconds: number) => (agents * groupSize * newTokens) / seconds
    const [ours, single] = [rate(4, four!.median), rate(1, one!.median)]
    const peak = await productPeak(session)
    // All that the trial computes, prompts included; a completion's last token is drawn and not run.
    const operations = 4 * forwardOperations(models[model]!, 128, groupSize, newTokens - 1)
    const share = operations / four!.median / peak
    const limit = Math.min(spec.bars[model]!, (0.65 / share) * (ours / single))
    return finishRow(spec, model, {
      ours: significant(ours),
      peer: significant(single),
      bar: limit,
      details: { four, one, peak, operations, share },
    })
  } finally {
    await endAll(workers)
  }
}

async function besideNeighbour(session: Session, spec: RowSpec, model: string, name: 'gen' | 'update'): Promise<Row> {
  await session.prepare(model)
  const worker = await session.ours()
  try {
    await worker.ask('open', { ...session.request(model), case: name })
    await worker.ask('run')
    const quiet: Trial[] = []
    const beside: Trial[] = []
    for (let rep = 0; rep < session.options.reps; rep++) {
      quiet.push(await runTrial(worker))
      const neighbour = await startNeighbour()
      try {
        beside.push(await runTrial(worker))
      } finally {
        await neighbour.end()
      }
    }
    // The neighbour is what is measured: none of its trials is dropped.
    const seconds = median(beside.map((trial) => trial.seconds))
    const alone = spreadOf(quiet)
    return finishRow(spec, model, {
      ours: significant(seconds),
      peer: significant(alone.median),
      details: { quiet: alone, besideSeconds: beside.map((trial) => trial.seconds) },
    })
  } finally {
    await endAll([worker])
  }
}
