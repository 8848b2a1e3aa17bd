/** How the policies of one batch share the processor. */
import { loadAddon } from '../native/load-addon.ts'
import type { Model } from './model.ts'
import { throwFirst } from './token-tree.ts'
import type { PolicyRef } from './types.ts'

/** What a batch does: decode, token by token, or pass over whole texts. */
export type Work = 'decoding' | 'passes'

/**
 * Bytes of weights up to which all run side by side: threads never wait for each other. Beyond,
 *
 * - passes take one model after the other, as the activations of one are enough to hold;
 * - adapters over one base decode together, which reads it once: two over 117 MB took 574 ms, and 642 side by side;
 * - models with weights of their own decode side by side, as each is read once either way: two of 117 MB took as long, and beside
 *   a busy program 1.3 to 1.4 times that in place of 1.6 to 1.8.
 */
const largestForAll = 64 * 2 ** 20

/** The part of a batch that goes to the core in one call: some policies of one model. */
export interface Part {
  model: Model
  /** Numbers of the batch's entries. */
  numbers: number[]
  /** Policies of this model in the whole batch. */
  policies: number
  /** Parts of this model that compute at the same time. */
  atOnce: number
}

/** A batch, divided into calls. */
interface Division {
  parts: Part[]
  /** Whether each part computes on one thread, beside the others, rather than on all. */
  oneThread: boolean
}

/**
 * Divides a batch: one part a model, where the policies of a team share the products of their base; or, on a processor where no
 * model is too large for it and there are policies for all threads, parts that run side by side on one thread each.
 *
 * It depends on the policies and the machine's settings alone, and so does what is computed.
 */
export function divide(entries: readonly { policy: PolicyRef }[], work: Work): Division {
  const byPolicy = grouped(entries.map(({ policy }) => policy))
  const policies = [...byPolicy.keys()]
  const numbers = [...byPolicy.values()]
  const models = grouped(policies.map(({ model }) => model))
  const { threads } = loadAddon().info()
  /** A part of some of a model's policies. */
  const partOf = (model: Model, units: readonly number[], atOnce: number): Part => {
    const all = models.get(model)!
    return { model, numbers: units.flatMap((unit) => numbers[unit]!), policies: all.length, atOnce }
  }
  const whole = { parts: [...models].map(([model, units]) => partOf(model, units, 1)), oneThread: false }
  // What trains a model's own weights has them to itself.
  const isApart = ([, units]: [Model, number[]]) =>
    units.length === 1 || units.every((unit) => policies[unit]!.kind !== 'full')
  const mayBeBeside = ([model, units]: [Model, number[]]) =>
    model.device === 'cpu' && (model.weightBytes <= largestForAll || (work === 'decoding' && units.length === 1))
  if (threads === 1 || ![...models].every((entry) => mayBeBeside(entry) && isApart(entry))) return whole
  const parts = [...models].flatMap(([model, units]) => {
    // Policies that end on one thread anyway stay together.
    const size = units.length % threads === 0 ? units.length / threads : 1
    const count = units.length / size
    return Array.from({ length: count }, (_, i) =>
      partOf(model, units.slice(i * size, (i + 1) * size), Math.min(count, threads)),
    )
  })
  const costs = parts.map((part) => part.model.weightBytes * part.numbers.length)
  const total = costs.reduce((sum, cost) => sum + cost, 0)
  return Math.max(...costs) * threads <= total * 1.25 ? { parts, oneThread: true } : whole
}

/** The places of each distinct value. */
function grouped<T>(values: readonly T[]): Map<T, number[]> {
  const places = new Map<T, number[]>()
  for (const [place, value] of values.entries()) places.set(value, [...(places.get(value) ?? []), place])
  return places
}

/** How many models compute at the same time in passes over texts of all these policies, and how many parts of one model. */
export function workAtOnce(policies: readonly PolicyRef[]): { models: number; partsOf(model: Model): number } {
  const { parts, oneThread } = divide(
    policies.map((policy) => ({ policy })),
    'passes',
  )
  const models = new Set(parts.map(({ model }) => model)).size
  return {
    models: oneThread ? Math.min(models, loadAddon().info().threads) : 1,
    partsOf: (model) => parts.find((part) => part.model === model)?.atOnce ?? 1,
  }
}

/** What a batch does for one part: `run` makes its native call. */
interface PartCall {
  model: Model
  run(): Promise<void>
}

/**
 * Runs the calls: all at once, or those of a device one after the other, since a model whose weights have just been read is
 * quicker than one that took turns with others at every token.
 *
 * It waits for all that was begun before it throws, so that no native call is left running behind an error.
 */
export async function runCalls(calls: readonly PartCall[], options: { sideBySide: boolean }): Promise<void> {
  const lines = new Map<unknown, PartCall[]>()
  for (const call of calls) {
    const key = options.sideBySide ? call : call.model.device
    lines.set(key, [...(lines.get(key) ?? []), call])
  }
  const runLine = async (line: readonly PartCall[]) => {
    for (const { run } of line) await run()
  }
  throwFirst(await Promise.allSettled([...lines.values()].map(runLine)))
}
