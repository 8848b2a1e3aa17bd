/** Several ranks against one and against the peer's, and what a setting saves in memory; both sides in one run. */
import { alternate } from '../alternate.ts'
import { finishRow, type Row, type RowSpec } from '../rows.ts'
import type { Session } from '../session.ts'
import { significant } from '../statistics.ts'
import { type Asked, endAll, type Worker } from '../worker.ts'

const mebibyte = 2 ** 20

/** What resident memory falls by at least, as a share of the bytes that a rank holds no more. */
const leastSaved = 0.8

/** One row for one model. @throws Error where it cannot be measured */
export function scaleRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  if (spec.id === 'moments-int8') return momentsRow(session, spec, model)
  if (spec.id === 'agents-by-rank') return agentsRow(session, spec, model)
  if (spec.id === 'zero1') return shardedRow(session, spec, model)
  return spec.id === 'peer-ddp' ? peerRow(session, spec, model) : ranksRow(session, spec, model)
}

const stepPrompts = 8

/** Two ranks of half the threads against one with all of them. */
async function ranksRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const request = { ...session.request(model), case: 'step', stepPrompts, adapters: spec.id === 'ranks-2-lora' }
  const sides: Asked[] = []
  try {
    // The figure of a deterministic run stands beside it, without a bar.
    for (const deterministic of [false, true]) {
      const two = await session.ranks(2, (env) => session.ours(env))
      sides.push(two)
      await two.ask('open', { ...request, deterministic })
    }
    const one = await session.ours()
    sides.push(one)
    await one.ask('open', request)
    const [ranks, exact, alone] = await alternate(sides, session.options.reps)
    const share = await sides[0]!.ask<number>('sumShare')
    const details = { ranks, alone, deterministic: exact, sumShare: share }
    return spec.id === 'allreduce'
      ? finishRow(spec, model, { ours: significant(share * ranks!.median), peer: significant(ranks!.median), details })
      : finishRow(spec, model, { ours: significant(ranks!.median), peer: significant(alone!.median), details })
  } finally {
    await endAll(sides)
  }
}

/** Two ranks of ours against two processes of TRL's trainer, which takes a step per agent. */
async function peerRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const request = { ...session.request(model), stepPrompts }
  const sides: Asked[] = []
  try {
    const ours = await session.ranks(2, (env) => session.ours(env))
    sides.push(ours)
    await ours.ask('open', { ...request, case: 'step' })
    const peer = await session.ranks(2, (env) => session.peer({ ...env, ACCELERATE_USE_CPU: 'true' }))
    sides.push(peer)
    await peer.ask('open', { ...request, case: 'step-trl', ranks: 2 })
    const [own, other] = await alternate(sides, session.options.reps)
    const details = { ours: own, peer: other }
    return finishRow(spec, model, { ours: significant(own!.median), peer: significant(other!.median), details })
  } finally {
    await endAll(sides)
  }
}

/** Kilobytes of a step of two ranks that hold an agent each, without what libtorch's store adds to them. */
const mostKilobytes = 200

/** Two ranks that hold one agent each. @throws Error where it cannot be measured */
async function agentsRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const sides: Asked[] = []
  try {
    const ranks = await session.ranks(2, (env) => session.ours(env))
    sides.push(ranks)
    await ranks.ask('open', { ...session.request(model), case: 'step', stepPrompts, byAgent: true })
    const [step] = await alternate(sides, session.options.reps)
    const bytes = await ranks.ask<number>('exchanged')
    return finishRow(spec, model, {
      ours: significant(bytes / 1000),
      peer: mostKilobytes,
      details: { step, note: `a step takes ${significant(step!.median)} s` },
    })
  } finally {
    await endAll(sides)
  }
}

/** Two ranks whose optimizer is spread over them against two that hold all of it each. @throws Error where it cannot be measured */
async function shardedRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const request = { ...session.request(model), case: 'step', stepPrompts }
  const sides: Asked[] = []
  try {
    for (const sharded of [true, false]) {
      const ranks = await session.ranks(2, (env) => session.ours(env))
      sides.push(ranks)
      await ranks.ask('open', { ...request, sharded })
    }
    const [share, whole] = await alternate(sides, session.options.reps)
    const bytesOf = (what: string) => Promise.all(sides.map((side) => side.ask<number>(what)))
    const [held, all] = await bytesOf('optimizerBytes')
    const [small, large] = await bytesOf('resident')
    const saved = (large! - small!) / (all! - held!)
    if (!(saved >= leastSaved))
      throw new Error(`resident memory fell by ${saved.toFixed(2)} of what is not held any more, not by ${leastSaved}`)
    return finishRow(spec, model, {
      ours: significant(held! / mebibyte),
      peer: significant(all! / mebibyte),
      details: {
        residentBytes: { sharded: small, whole: large },
        savedShare: significant(saved),
        sharded: share,
        whole,
        note: `resident memory fell by ${saved.toFixed(2)} of the difference; a step takes ${(share!.median / whole!.median).toFixed(2)} times as long`,
      },
    })
  } finally {
    await endAll(sides)
  }
}

/** Moments in 8 bits against float32, after the same updates. @throws Error where it cannot be measured */
async function momentsRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  await session.prepare(model)
  const workers: Worker[] = []
  try {
    for (const moments of ['int8', 'float32']) {
      const worker = await session.ours()
      workers.push(worker)
      await worker.ask('open', { ...session.request(model), case: 'update', moments })
    }
    const [int8, float32] = await alternate(workers, session.options.reps)
    const [small, large] = await Promise.all(workers.map((worker) => worker.ask<number>('resident')))
    // Weights are float32 and have two moments each.
    const momentBytes = 2 * (await workers[1]!.ask<number>('weightBytes'))
    return finishRow(spec, model, {
      ours: significant((large! - small!) / mebibyte),
      peer: significant((0.75 * momentBytes) / mebibyte),
      details: {
        residentBytes: { int8: small, float32: large },
        momentBytes,
        int8,
        float32,
        note: `an update takes ${(int8!.median / float32!.median).toFixed(2)} times as long`,
      },
    })
  } finally {
    await endAll(workers)
  }
}
