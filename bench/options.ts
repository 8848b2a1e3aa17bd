/** The command line of the benchmark. */
import { parseArgs } from 'node:util'

/** What can be run. */
export const suites = ['peers', 'limits', 'scale', 'kernels', 'scaling', 'gpu', 'report'] as const

/** A suite's name. */
export type SuiteName = (typeof suites)[number]

/** The command line, read. */
export interface BenchOptions {
  suites: SuiteName[]
  /** Print the JSON line only. */
  json: boolean
  rows: string[]
  models: string[]
  /** Trials per side. */
  reps: number
  threads: number
  /** `gpu`: the device that is measured, such as `cuda:0`. */
  device: string
  /** `gpu`: a small model and few repetitions. */
  quick: boolean
  /** Folder of documents whose tables and pictures are made anew; null: none. */
  out: string | null
  help: boolean
}

/** Shown by `--help`. */
export const help = `Usage: npm run bench -- SUITE... [options]

Suites:
  peers      side by side with Hugging Face, PyTorch, TRL, CoMLRL and llama.cpp
  limits     against what the machine allows
  scale      several ranks against one and against TRL's; memory that a setting saves
  kernels    each kernel against the plain libtorch operations and the machine's limits
  scaling    agents, group sizes and threads
  gpu        decoding, training and a team's step on a GPU: shares of its bandwidth and peak, beside transformers and TRL
  report     no trials: tables and pictures of --out from what is recorded there

Options:
  --json            nothing but the last line, which is JSON in any case
  --rows a,b        only these rows (peers, limits, scale)
  --models a,b      only these models: tiny, m30, bigv, smollm2
  --reps N          trials a side (default 7)
  --threads N       threads of both sides (default: all cores)
  --device cuda:N   what gpu measures (default cuda:0)
  --quick           gpu: a small model, in less than a minute
  --out FOLDER      record the results in FOLDER, and make its benchmarks.md and pictures anew
`

/** @throws RangeError for what is not understood; the message says what is expected */
export function parseOptions(args: readonly string[], cores: number): BenchOptions {
  let parsed: ReturnType<typeof read>
  try {
    parsed = read(args)
  } catch (error) {
    throw new RangeError((error as Error).message)
  }
  const { values, positionals } = parsed
  const unknown = positionals.find((name) => !(suites as readonly string[]).includes(name))
  if (unknown !== undefined)
    throw new RangeError(`Expected a suite among ${suites.join(', ')} but received ${unknown}.`)
  if (positionals.length === 0 && !values.help) throw new RangeError(`Expected a suite: ${suites.join(', ')}.`)
  const list = (text: string | undefined) => text?.split(',').filter((name) => name !== '') ?? []
  return {
    suites: positionals as SuiteName[],
    json: values.json,
    rows: list(values.rows),
    models: list(values.models),
    reps: positive('--reps', values.reps, 7),
    threads: positive('--threads', values.threads, cores),
    device: deviceOf(values.device),
    quick: values.quick,
    out: values.out ?? null,
    help: values.help,
  }
}

function read(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      rows: { type: 'string' },
      models: { type: 'string' },
      reps: { type: 'string' },
      threads: { type: 'string' },
      device: { type: 'string', default: 'cuda:0' },
      quick: { type: 'boolean', default: false },
      out: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
}

function deviceOf(name: string): string {
  if (!/^cuda:\d+$/.test(name)) throw new RangeError(`Expected cuda:N for --device but received ${name}.`)
  return name
}

function positive(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1)
    throw new RangeError(`Expected a positive integer for ${name} but received ${text}.`)
  return value
}
