/** Rows against node-llama-cpp: decoding alone, as the difference of two lengths. */
import { fileURLToPath } from 'node:url'
import { alternate } from '../alternate.ts'
import { models, randomNumbers } from '../cases.ts'
import { peersEnvironment } from '../peers/index.ts'
import { finishRow, type Row, type RowSpec } from '../rows.ts'
import type { Session } from '../session.ts'
import { type Spread, significant } from '../statistics.ts'
import { endAll, Worker } from '../worker.ts'

const promptTokens = 32
const [shortCompletion, longCompletion] = [16, 80]

/** Log-probabilities so far apart are a tie: random weights have many, and llama.cpp's differ from ours by up to 5e-4. */
const largestTie = 1e-3

/** Decoding of so many rows of the same weights, each behind a prompt of its own, greedily. */
export async function llamaCppRow(session: Session, spec: RowSpec, model: string, rows: number): Promise<Row> {
  await session.prepare(model)
  const { env, options, folder } = session
  const installed = await peersEnvironment.ensureLlamaCpp({ log: options.log })
  const files = await ggufFiles(session, model)
  const random = randomNumbers(11)
  const { vocab } = models[model]!
  const prompts = Array.from({ length: rows }, () =>
    Array.from({ length: promptTokens }, () => 3 + Math.floor(random() * (vocab - 3))),
  )
  const script = fileURLToPath(new URL('../peers/llama_cpp.mjs', import.meta.url))
  const workers: Worker[] = []
  const openOurs = async (newTokens: number) => {
    const worker = await session.ours()
    workers.push(worker)
    await worker.ask('open', { case: 'decode', root: folder, model, prompts, newTokens })
    return worker
  }
  const openTheirs = async (dtype: string, newTokens: number) => {
    const worker = new Worker('node-llama-cpp', process.execPath, [script, installed], env)
    workers.push(worker)
    // By itself it keeps keys and values in float16, which changes greedy tokens.
    const cacheType = dtype === 'float32' ? 'F32' : 'F16'
    await worker.ask('open', { file: files[dtype], cacheType, prompts, newTokens, threads: options.threads })
    return worker
  }
  try {
    for (const tokens of [shortCompletion, longCompletion]) {
      await openOurs(tokens)
      await openTheirs('float32', tokens)
      await openTheirs('float16', tokens)
    }
    const [ours, theirs] = [workers[3]!, workers[4]!]
    const gaps = await gapsBetween(await ours.ask('tokens'), await theirs.ask('tokens'), (row, at, candidates) =>
      ours.ask('tie', { promptIds: [...prompts[row]!, ...at], candidates }),
    )
    const largestGap = Math.max(0, ...gaps)
    const spreads = await alternate(workers, options.reps)
    const rate = (short: Spread, long: Spread) =>
      (rows * (longCompletion - shortCompletion)) / (long.median - short.median)
    const [own, float32, float16] = [0, 1, 2].map((side) => rate(spreads[side]!, spreads[side + 3]!))
    return finishRow(spec, model, {
      ours: significant(own!),
      peer: significant(float32!),
      ...(largestGap > largestTie && { why: `does not compute the same: greedy tokens differ by ${largestGap}` }),
      details: {
        note: `float16: ${significant(float16!, 3)} tokens/s; ${gaps.length} of ${rows} rows part at a tie`,
        float16,
        largestGap,
        spreads,
      },
    })
  } finally {
    await endAll(workers)
  }
}

/** For each row whose tokens differ: how far apart, for us, the two tokens are that it differs in first. */
async function gapsBetween(
  ours: number[][],
  theirs: number[][],
  gapOf: (row: number, before: number[], candidates: [number, number]) => Promise<number>,
): Promise<number[]> {
  const gaps: number[] = []
  for (const [row, ids] of ours.entries()) {
    const at = ids.findIndex((id, index) => id !== theirs[row]![index])
    if (at >= 0) gaps.push(await gapOf(row, ids.slice(0, at), [ids[at]!, theirs[row]![at]!]))
  }
  return gaps
}

async function ggufFiles(session: Session, model: string): Promise<Record<string, string>> {
  const peer = await session.peer()
  try {
    const files: Record<string, string> = {}
    for (const dtype of ['float32', 'float16'])
      files[dtype] = await peer.ask<string>('gguf', { root: session.folder, model, shape: models[model]!, dtype })
    return files
  } finally {
    await endAll([peer])
  }
}
