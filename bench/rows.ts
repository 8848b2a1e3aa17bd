/** The rows of the benchmark: what is measured, for which models, and what is to be reached. */

/** Suites whose rows have a bar. */
export type Suite = 'peers' | 'limits' | 'scale'

/** How a row's ratio is formed from our number and the other one. */
export type RatioKind =
  /** Ours over theirs: rates, where more is better. */
  | 'rate'
  /** Theirs over ours: seconds of both, so that it is a speed-up. */
  | 'speed-up'
  /** Ours over theirs: memory and slow-downs, where less is better. */
  | 'cost'

/** One row of the table, for all its models. */
export interface RowSpec {
  id: string
  suite: Suite
  /** What is measured, for a table. */
  what: string
  /** What it is held against. */
  against: string
  unit: string
  kind: RatioKind
  /** Bar by model: at least for `rate` and `speed-up`, at most for `cost`. */
  bars: Readonly<Record<string, number>>
}

/** All rows with a bar, in the order of the table. */
export const rows: readonly RowSpec[] = [
  {
    id: 'gen-own',
    suite: 'peers',
    what: 'generation, each agent its own weights',
    against: 'Hugging Face generate, agents in turn',
    unit: 'tokens/s',
    kind: 'rate',
    bars: { tiny: 6, m30: 3.5, bigv: 5 },
  },
  {
    id: 'gen-lora',
    suite: 'peers',
    what: 'generation, LoRA team on one base',
    against: 'Hugging Face generate, agents in turn',
    unit: 'tokens/s',
    kind: 'rate',
    bars: { tiny: 9, m30: 5.5 },
  },
  {
    id: 'ragged',
    suite: 'peers',
    what: 'generation, one straggler of eight rows',
    against: 'Hugging Face generate',
    unit: 'useful tokens/s',
    kind: 'rate',
    bars: { tiny: 4 },
  },
  {
    id: 'update-128',
    suite: 'peers',
    what: 'update of one agent, prompts of 128 tokens',
    against: 'batched rows in PyTorch',
    unit: 's',
    kind: 'speed-up',
    bars: { tiny: 2, m30: 1.7, bigv: 1.7 },
  },
  {
    id: 'update-512',
    suite: 'peers',
    what: 'update of one agent, prompts of 512 tokens',
    against: 'batched rows in PyTorch',
    unit: 's',
    kind: 'speed-up',
    bars: { tiny: 3.5, m30: 3.5 },
  },
  {
    id: 'step-full',
    suite: 'peers',
    what: 'whole step of the team, all weights trained',
    against: 'the better of the CoMLRL-style step and TRL',
    unit: 's',
    kind: 'speed-up',
    bars: { tiny: 3.2, m30: 2.3 },
  },
  {
    id: 'step-lora',
    suite: 'peers',
    what: 'whole step, LoRA team on one base',
    against: 'the better of the CoMLRL-style step and TRL',
    unit: 's',
    kind: 'speed-up',
    bars: { tiny: 4, m30: 3.8 },
  },
  {
    id: 'memory-full',
    suite: 'peers',
    what: 'peak memory of the whole step, Node included',
    against: 'batched step of two policies in PyTorch',
    unit: 'MiB',
    kind: 'cost',
    bars: { m30: 0.55, bigv: 0.55 },
  },
  {
    id: 'memory-lora',
    suite: 'peers',
    what: 'the same, LoRA team on one base',
    against: 'batched step of two policies in PyTorch',
    unit: 'MiB',
    kind: 'cost',
    bars: { m30: 0.35 },
  },
  {
    id: 'llama-cpp-1',
    suite: 'peers',
    what: 'decoding, 1 row',
    against: 'node-llama-cpp, float32',
    unit: 'tokens/s',
    kind: 'rate',
    bars: { m30: 1 },
  },
  {
    id: 'llama-cpp-16',
    suite: 'peers',
    what: 'decoding, 16 rows',
    against: 'node-llama-cpp, float32',
    unit: 'tokens/s',
    kind: 'rate',
    bars: { m30: 2 },
  },
  {
    id: 'decode-roof',
    suite: 'limits',
    what: 'bytes of the weights over the time of a decode step, 1 row',
    against: 'reading a buffer of that size with all threads',
    unit: 'GB/s',
    kind: 'rate',
    bars: { m30: 0.7, smollm2: 0.7 },
  },
  {
    id: 'train-roof',
    suite: 'limits',
    what: 'operations of the tokens computed over the time of an update',
    against: "libtorch's matrix product at its best",
    unit: 'GFLOP/s',
    kind: 'rate',
    bars: { m30: 0.7 },
  },
  {
    id: 'agents-4',
    suite: 'limits',
    what: 'generation, four LoRA agents of 8 rows each',
    against: 'one agent of 8 rows',
    unit: 'tokens/s',
    kind: 'rate',
    bars: { m30: 3 },
  },
  {
    id: 'sampling',
    suite: 'limits',
    what: 'decoding, 8 rows at temperature 0.7 and top-p 0.9, sets of kept tokens included',
    against: 'the same at temperature 1 without filters',
    unit: 'tokens/s',
    kind: 'rate',
    bars: { smollm2: 0.95 },
  },
  {
    id: 'neighbour-gen',
    suite: 'limits',
    what: 'generation beside a program that keeps one core busy',
    against: 'the same on a quiet machine',
    unit: 's',
    kind: 'cost',
    bars: { m30: 1.75 },
  },
  {
    id: 'neighbour-update',
    suite: 'limits',
    what: 'update beside a program that keeps one core busy',
    against: 'the same on a quiet machine',
    unit: 's',
    kind: 'cost',
    bars: { m30: 2 },
  },
  {
    id: 'ranks-2',
    suite: 'scale',
    what: 'a step of a team, all weights, 8 prompts, 2 ranks of 1 thread',
    against: '1 rank of 2 threads',
    unit: 's',
    kind: 'speed-up',
    bars: { tiny: 0.95, m30: 0.9 },
  },
  {
    id: 'ranks-2-lora',
    suite: 'scale',
    what: 'the same of two adapters',
    against: '1 rank of 2 threads',
    unit: 's',
    kind: 'speed-up',
    bars: { m30: 0.95 },
  },
  {
    id: 'allreduce',
    suite: 'scale',
    what: 'the sum of gradients over 2 ranks, all weights',
    against: "the step's time",
    unit: 's',
    kind: 'cost',
    bars: { m30: 0.08 },
  },
  {
    id: 'peer-ddp',
    suite: 'scale',
    what: 'a step of a team, all weights, 8 prompts, 2 ranks of 1 thread',
    against: "TRL's GRPO on 2 processes by gloo, a step per agent",
    unit: 's',
    kind: 'speed-up',
    bars: { m30: 3 },
  },
  {
    id: 'agents-by-rank',
    suite: 'scale',
    what: 'what a rank that holds one of two agents gives and gets in a step, all weights, 8 prompts of 128 + 8 x 64 tokens',
    against: '200 kB',
    unit: 'kB',
    kind: 'cost',
    bars: { m30: 1 },
  },
  {
    id: 'zero1',
    suite: 'scale',
    what: 'moments that each of 2 ranks holds with optimizer.sharded, all weights',
    against: 'those without it; resident memory falls by at least 0.8 of the difference',
    unit: 'MiB',
    kind: 'cost',
    bars: { m30: 0.51 },
  },
  {
    id: 'moments-int8',
    suite: 'scale',
    what: 'resident memory that moments in 8 bits save a policy of all weights',
    against: 'three quarters of the bytes of float32 moments',
    unit: 'MiB',
    kind: 'rate',
    bars: { m30: 0.9 },
  },
]

/** One row of one model, as it is recorded. */
export interface Row {
  id: string
  model: string
  /** Null where it could not be measured. */
  ours: number | null
  peer: number | null
  /** See {@link RatioKind}; null where the row does not count, with the reason in `why`. */
  ratio: number | null
  why?: string
  /** Of `ours` and `peer`. */
  unit: string
  /** What the ratio is to be, at least or at most. */
  bar?: { atLeast: number } | { atMost: number }
  /** Whether the bar is met; null without a ratio. */
  isMet?: boolean | null
  /** ISO date and time at which it was measured. */
  at: string
  /** What else was seen: spreads of both sides, correctness, other peers. */
  details: Record<string, unknown>
}

/** The specification of a row. @throws RangeError for an unknown id */
export function rowSpec(id: string): RowSpec {
  const spec = rows.find((row) => row.id === id)
  if (spec === undefined)
    throw new RangeError(`Expected a row among ${rows.map((row) => row.id).join(', ')} but received ${id}.`)
  return spec
}

/** The ratio of a row's two numbers. */
export function ratioOf(kind: RatioKind, ours: number, peer: number): number {
  return kind === 'speed-up' ? peer / ours : ours / peer
}

/** A finished row: ratio and verdict from the two numbers. `bar` replaces the one of the specification. */
export function finishRow(
  spec: RowSpec,
  model: string,
  values: { ours: number; peer: number; why?: string; details?: Record<string, unknown>; bar?: number },
): Row {
  const { ours, peer, why, details = {} } = values
  const limit = values.bar ?? spec.bars[model]
  const ratio = why === undefined ? ratioOf(spec.kind, ours, peer) : null
  const isMet = ratio === null || limit === undefined ? null : spec.kind === 'cost' ? ratio <= limit : ratio >= limit
  return {
    id: spec.id,
    model,
    ours,
    peer,
    ratio,
    ...(why !== undefined && { why }),
    unit: spec.unit,
    ...(limit !== undefined && { bar: spec.kind === 'cost' ? { atMost: limit } : { atLeast: limit } }),
    isMet,
    at: new Date().toISOString(),
    details,
  }
}

/** A row that could not be measured, and why. */
export function failedRow(spec: RowSpec, model: string, why: string): Row {
  const { id, unit, bars, kind } = spec
  const limit = bars[model]
  const bar = limit === undefined ? {} : { bar: kind === 'cost' ? { atMost: limit } : { atLeast: limit } }
  return {
    id,
    model,
    ours: null,
    peer: null,
    ratio: null,
    why,
    unit,
    ...bar,
    isMet: null,
    at: new Date().toISOString(),
    details: {},
  }
}

/** Rows and models of a suite, narrowed by the names given; all where a list is empty. */
export function chooseRows(
  suite: Suite,
  ids: readonly string[],
  models: readonly string[],
): { spec: RowSpec; model: string }[] {
  const known = rows.filter((row) => row.suite === suite)
  for (const id of ids)
    if (!known.some((row) => row.id === id))
      throw new RangeError(
        `Expected --rows among ${known.map((row) => row.id).join(', ')} for the suite ${suite} but received ${id}.`,
      )
  const all = [...new Set(known.flatMap((row) => Object.keys(row.bars)))]
  for (const model of models)
    if (!all.includes(model)) throw new RangeError(`Expected --models among ${all.join(', ')} but received ${model}.`)
  return known
    .filter((row) => ids.length === 0 || ids.includes(row.id))
    .flatMap((spec) =>
      Object.keys(spec.bars)
        .filter((model) => models.length === 0 || models.includes(model))
        .map((model) => ({ spec, model })),
    )
}
