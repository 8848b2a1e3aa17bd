/** The side-by-side rows: ours and the peers' in turn, on the same weights, after both have shown that they compute the same. */

import { alternate } from '../alternate.ts'
import { agents, groupSize, newTokens, raggedLengths } from '../cases.ts'
import type { GateReport } from '../gate.ts'
import { finishRow, type Row, type RowSpec } from '../rows.ts'
import type { Session } from '../session.ts'
import { median, type Spread, significant } from '../statistics.ts'
import { endAll, type Worker } from '../worker.ts'
import { llamaCppRow } from './llama-cpp.ts'

/** One row for one model. @throws Error where a side fails */
export function peersRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  if (spec.id.startsWith('llama-cpp-')) return llamaCppRow(session, spec, model, Number(spec.id.slice(10)))
  return spec.id.startsWith('memory-') ? memoryRow(session, spec, model) : speedRow(session, spec, model)
}

/** What a row asks of both sides. */
export interface Plan {
  promptTokens: number
  adapters: boolean
  trains: boolean
  ours: string
  /** Names of the peers' cases; the quickest counts. */
  peers: readonly string[]
  /** Tokens of one repetition, for rates. */
  tokens: number
  extra?: Record<string, unknown>
}

const all = agents * groupSize * newTokens
const stepPeers = ['step-rows', 'step-batched', 'step-trl', 'step-comlrl']

/** What each row asks of both sides. */
export const plans: Record<string, Plan> = {
  'gen-own': { promptTokens: 128, adapters: false, trains: false, ours: 'gen', peers: ['gen'], tokens: all },
  'gen-lora': { promptTokens: 128, adapters: true, trains: false, ours: 'gen', peers: ['gen'], tokens: all },
  ragged: {
    promptTokens: 128,
    adapters: false,
    trains: false,
    ours: 'ragged',
    peers: ['ragged'],
    tokens: raggedLengths.reduce((sum, length) => sum + length, 0),
    extra: { lengths: raggedLengths },
  },
  'update-128': { promptTokens: 128, adapters: false, trains: true, ours: 'update', peers: ['update'], tokens: 0 },
  'update-512': { promptTokens: 512, adapters: false, trains: true, ours: 'update', peers: ['update'], tokens: 0 },
  'step-full': { promptTokens: 128, adapters: false, trains: true, ours: 'step', peers: stepPeers, tokens: 0 },
  'step-lora': { promptTokens: 128, adapters: true, trains: true, ours: 'step', peers: stepPeers, tokens: 0 },
  'memory-full': { promptTokens: 128, adapters: false, trains: true, ours: 'step', peers: ['step-batched'], tokens: 0 },
  'memory-lora': { promptTokens: 128, adapters: true, trains: true, ours: 'step', peers: ['step-batched'], tokens: 0 },
}

async function speedRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  const plan = plans[spec.id]!
  const gate = await session.gate(model, gateOf(plan))
  const request = { ...session.request(model, plan.promptTokens), ...plan.extra }
  const workers: Worker[] = []
  try {
    const ours = await session.ours()
    workers.push(ours)
    await ours.ask('open', { ...request, case: plan.ours, adapters: plan.adapters })
    const opened: string[] = []
    const absent: Record<string, string> = {}
    for (const name of plan.peers) {
      const peer = await session.peer()
      try {
        await peer.ask('open', { ...request, case: name })
        workers.push(peer)
        opened.push(name)
      } catch (error) {
        absent[name] = (error as Error).message
        await endAll([peer])
      }
    }
    if (opened.length === 0) throw new Error(`no peer could run: ${Object.values(absent).join('; ')}`)
    const [own, ...others] = await alternate(workers, session.options.reps)
    const best = others.reduce((least, spread) => (spread.median < least.median ? spread : least))
    const value = ({ median }: Spread) => (plan.tokens > 0 ? plan.tokens / median : median)
    return finishRow(spec, model, {
      ours: significant(value(own!)),
      peer: significant(value(best)),
      ...whyNot(gate),
      details: {
        gate,
        processorRatio: significant(Math.min(...others.map(({ cpuSeconds }) => cpuSeconds)) / own!.cpuSeconds),
        oursSeconds: own,
        peerSeconds: Object.fromEntries(opened.map((name, index) => [name, others[index]])),
        ...(opened.length > 1 && { peer: opened[others.indexOf(best)] }),
        ...(Object.keys(absent).length > 0 && { absent }),
      },
    })
  } finally {
    await endAll(workers)
  }
}

/** Most memory of a child that does nothing but a few steps; each trial is a child of its own. */
async function memoryRow(session: Session, spec: RowSpec, model: string): Promise<Row> {
  const plan = plans[spec.id]!
  const gate = await session.gate(model, gateOf(plan))
  const request = session.request(model, plan.promptTokens)
  const peaks = { ours: [] as number[], peer: [] as number[] }
  for (let trial = 0; trial < 2; trial++) {
    peaks.ours.push(await peakOf(await session.ours(), { ...request, case: plan.ours, adapters: plan.adapters }))
    peaks.peer.push(await peakOf(await session.peer(), { ...request, case: plan.peers[0]! }))
  }
  return finishRow(spec, model, {
    ours: significant(median(peaks.ours)),
    peer: significant(median(peaks.peer)),
    ...whyNot(gate),
    details: { gate, peaks },
  })
}

/** In MiB, after three steps. */
async function peakOf(worker: Worker, request: Record<string, unknown>): Promise<number> {
  try {
    await worker.ask('open', request)
    for (let step = 0; step < 3; step++) await worker.ask('run')
    return (await worker.ask<number>('peak')) / 2 ** 20
  } finally {
    await endAll([worker])
  }
}

/** A gate that trains shows all that one which does not train shows: it is asked once for both. */
const gateOf = ({ promptTokens, adapters }: Plan) => ({ promptTokens, adapters, trains: true })

/** What a row says whose sides do not compute the same. */
export function whyNot({ failures }: GateReport): { why?: string } {
  return failures.length === 0 ? {} : { why: `does not compute the same: ${failures.join('; ')}` }
}
