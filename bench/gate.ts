/** Correctness before speed: what both sides computed from the same weights, compared. */
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readSafetensorsHeader, type TensorEntry } from '../lib/model/safetensors.ts'

/** How far the two sides may be apart. */
export const tolerances = {
  /** Absolute, of a log-probability. */
  logProbs: 1e-4,
  /** ‖ours - theirs‖ / ‖theirs‖ of each tensor. */
  gradients: 1e-4,
  /** The same after three steps of AdamW. */
  weights: 1e-5,
} as const

/** What was compared, and what did not agree. */
export interface GateReport {
  /** Empty: passed. */
  failures: string[]
  /** Greedy tokens compared. */
  tokens: number
  /** Largest differences seen, in the terms of {@link tolerances}. */
  differences: Partial<Record<keyof typeof tolerances, number>>
}

/** What a side writes to `outputs.json`: by agent. */
export interface Outputs {
  tokens: number[][]
  logProbs: number[][][]
}

/** Compares the files of two folders. The gradients of ours point up the objective, those of the peer up the loss. */
export async function compareGates(ours: string, peer: string, trains: boolean): Promise<GateReport> {
  const read = async (folder: string) => JSON.parse(await readFile(join(folder, 'outputs.json'), 'utf8')) as Outputs
  const report = compareOutputs(await read(ours), await read(peer))
  if (!trains) return report
  for (const [section, sign] of [
    ['gradients', -1],
    ['weights', 1],
  ] as const) {
    const file = `${section}.safetensors`
    const { difference, tensor } = await compareFiles(join(ours, file), join(peer, file), sign)
    report.differences[section] = difference
    if (!(difference <= tolerances[section]))
      report.failures.push(
        `${section} differ by ${difference.toExponential(1)} in ${tensor} (at most ${tolerances[section]})`,
      )
  }
  return report
}

/** Compares greedy tokens and log-probabilities. */
export function compareOutputs(ours: Outputs, peer: Outputs): GateReport {
  const failures: string[] = []
  for (const [agent, row] of peer.tokens.entries()) {
    const own = ours.tokens[agent] ?? []
    const at = row.findIndex((id, index) => id !== own[index])
    if (at >= 0) failures.push(`greedy tokens of agent ${agent} differ from token ${at} on (${own[at]} and ${row[at]})`)
    else if (own.length !== row.length)
      failures.push(`agent ${agent} has ${own.length} greedy tokens instead of ${row.length}`)
  }
  const own = ours.logProbs.flat(2)
  const other = peer.logProbs.flat(2)
  let difference = own.length === other.length ? 0 : Number.NaN
  for (const [index, value] of other.entries()) difference = Math.max(difference, Math.abs(value - own[index]!))
  if (!(difference <= tolerances.logProbs))
    failures.push(`log-probabilities differ by ${difference.toExponential(1)} (at most ${tolerances.logProbs})`)
  return { failures, tokens: peer.tokens.flat().length, differences: { logProbs: difference } }
}

/** Largest relative difference of a tensor between two safetensors files in float32. */
async function compareFiles(ours: string, peer: string, sign: 1 | -1): Promise<{ difference: number; tensor: string }> {
  const own = new Map((await readSafetensorsHeader(ours)).map((entry) => [entry.name, entry]))
  const worst = { difference: 0, tensor: '' }
  for (const entry of await readSafetensorsHeader(peer)) {
    const other = own.get(entry.name)
    const difference =
      other === undefined ? Number.NaN : relativeDifference(await readFloats(other), await readFloats(entry), sign)
    if (!(difference <= worst.difference)) Object.assign(worst, { difference, tensor: entry.name })
    if (Number.isNaN(difference)) return worst
  }
  return worst
}

/** ‖sign·ours - theirs‖ / ‖theirs‖; NaN where the lengths differ, 0 where both are zero. */
export function relativeDifference(ours: Float32Array, theirs: Float32Array, sign: 1 | -1 = 1): number {
  if (ours.length !== theirs.length) return Number.NaN
  let [apart, size] = [0, 0]
  for (let i = 0; i < theirs.length; i++) {
    apart += (sign * ours[i]! - theirs[i]!) ** 2
    size += theirs[i]! ** 2
  }
  return apart === 0 ? 0 : Math.sqrt(apart / size)
}

async function readFloats({ file, shape, begin, dtype, name }: TensorEntry): Promise<Float32Array> {
  if (dtype !== 'F32') throw new Error(`Expected float32 for ${name} in ${file} but it is ${dtype}.`)
  const floats = new Float32Array(shape.reduce((product, length) => product * length, 1))
  const handle = await open(file)
  try {
    await handle.read(Buffer.from(floats.buffer), 0, floats.byteLength, begin)
  } finally {
    await handle.close()
  }
  return floats
}
