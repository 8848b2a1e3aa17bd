/**
 * Whether this checkout is as fast as another one: `npm run bench:against -- OTHER`, a folder with another commit that has been set up.
 * Both run each row in turn; what is compared is the ratio of the two times of a round, ours over the other's. The last line is JSON.
 *
 * Options: `--rounds N` (20), `--rows a,b`, `--models tiny,m30`, `--threads N`.
 */
import os from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { standardError } from '../lib/base/statistics.ts'
import { studentQuantile } from '../lib/report/comparison/statistics.ts'
import { runTrial } from './alternate.ts'
import { compileOurs } from './compiled.ts'
import { Session } from './session.ts'
import { significant } from './statistics.ts'
import { plans } from './suites/peers.ts'
import { endAll, Worker } from './worker.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '20' },
    rows: { type: 'string', default: 'gen-own,gen-lora,ragged,update-128,update-512,step-full,step-lora' },
    models: { type: 'string', default: 'tiny,m30' },
    threads: { type: 'string', default: String(os.availableParallelism()) },
  },
})
if (positionals.length !== 1) throw new RangeError('Expected the folder of another checkout.')

const rounds = Number(values.rounds)
const roundsPerProcess = 5
const session = new Session({ reps: rounds, threads: Number(values.threads), log: (line) => console.error(line) })
const files = [await compileOurs(), await compileOurs(path.resolve(positionals[0]!))]

/** Mean of the logarithms of the ratios, back as a ratio, with its 95 % interval. */
function intervalOf(ratios: readonly number[]) {
  const logs = ratios.map(Math.log)
  const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length
  const half = studentQuantile(logs.length - 1) * standardError(logs)
  const [low, ratio, high] = [mean - half, mean, mean + half].map((value) => significant(Math.exp(value)))
  return { ratio, low, high }
}

const rows: { id: string; model: string; ratio?: number; low?: number; high?: number; rounds: number }[] = []
for (const model of values.models.split(',')) {
  await session.prepare(model)
  for (const id of values.rows.split(',')) {
    const plan = plans[id]
    if (plan === undefined)
      throw new RangeError(`Expected rows among ${Object.keys(plans).join(', ')} but received ${id}.`)
    const request = {
      ...session.request(model, plan.promptTokens),
      ...plan.extra,
      case: plan.ours,
      adapters: plan.adapters,
    }
    const ratios: number[] = []
    // Where a process lays its memory and threads is part of its speed: new ones every few rounds.
    while (ratios.length < rounds) {
      const workers = files.map(
        (file, side) => new Worker(side === 0 ? 'here' : 'other', process.execPath, [file], session.env),
      )
      try {
        for (const worker of workers) {
          await worker.ask('open', request)
          await worker.ask('run')
        }
        for (let round = 0; round < roundsPerProcess && ratios.length < rounds; round++) {
          // Who goes first changes, so that neither always finds the caches of the other.
          const order = ratios.length % 2 === 0 ? [0, 1] : [1, 0]
          const seconds: number[] = []
          for (const side of order) seconds[side] = (await runTrial(workers[side]!)).seconds
          ratios.push(seconds[0]! / seconds[1]!)
        }
      } finally {
        await endAll(workers)
      }
    }
    const row = { id, model, ...intervalOf(ratios), rounds }
    rows.push(row)
    console.error(`${id} ${model}: ${row.ratio} (${row.low} to ${row.high})`)
  }
}
const slower = rows.filter(({ low }) => low! > 1.03)
console.log(JSON.stringify({ rows, slower: slower.map(({ id, model }) => `${id} ${model}`) }))
process.exitCode = slower.length > 0 ? 1 : 0
