/** `npm run bench`: runs suites, prints a table for people and one line of JSON last. */
import os from 'node:os'
import { describeMachine } from './machine.ts'
import { type BenchOptions, help, parseOptions } from './options.ts'
import { chooseRows, failedRow, type Row, type Suite } from './rows.ts'
import { Session } from './session.ts'
import { limitsRow } from './suites/limits.ts'
import { peersRow } from './suites/peers.ts'
import { rowCells, textTable } from './table.ts'

const loadBefore = os.loadavg()[0]!

/** Rows of a suite; a row that fails says why and the others go on. */
async function measure(suite: Suite, session: Session, options: BenchOptions): Promise<Row[]> {
  const run = suite === 'peers' ? peersRow : limitsRow
  const measured: Row[] = []
  for (const { spec, model } of chooseRows(suite, options.rows, options.models)) {
    const start = performance.now()
    session.options.log(`${spec.id} ${model} ...`)
    const row = await run(session, spec, model).catch((error: Error) => failedRow(spec, model, error.message))
    const seconds = ((performance.now() - start) / 1000).toFixed(0)
    session.options.log(`${spec.id} ${model}: ratio ${row.ratio?.toFixed(2) ?? `none, ${row.why}`} (${seconds} s)`)
    measured.push(row)
  }
  return measured
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, os.availableParallelism())
  if (options.help) {
    process.stdout.write(help)
    return 0
  }
  const log = (line: string) => {
    if (!options.json) process.stderr.write(`${line}\n`)
  }
  const session = new Session({ reps: options.reps, threads: options.threads, log })
  const measured: Row[] = []
  for (const suite of options.suites)
    if (suite === 'peers' || suite === 'limits') measured.push(...(await measure(suite, session, options)))
  const machine = describeMachine(options.threads, loadBefore, session.versions)
  if (!options.json) {
    const { header, lines } = rowCells(measured)
    process.stdout.write(`${textTable(header, lines)}\n\n${JSON.stringify(machine, null, 2)}\n`)
  }
  process.stdout.write(`${JSON.stringify({ rows: measured, machine })}\n`)
  return 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof RangeError)) throw error
  process.stderr.write(`${error.message}\nnpm run bench -- --help lists the options.\n`)
  process.exitCode = 2
}
