/** `npm run bench`: runs suites, prints a table for people and one line of JSON last. */
import os from 'node:os'
import { describeMachine } from './machine.ts'
import { type BenchOptions, help, parseOptions } from './options.ts'
import { mergeRecord, type Results, readRecord, writeReport } from './report.ts'
import { chooseRows, failedRow, type Row, type Suite } from './rows.ts'
import { Session } from './session.ts'
import { gpuCells, gpuReport, measureGpu, readGpu, writeGpu } from './suites/gpu.ts'
import { kernelCells, measureKernels } from './suites/kernels.ts'
import { limitsRow } from './suites/limits.ts'
import { peersRow } from './suites/peers.ts'
import { scaleRow } from './suites/scale.ts'
import { measureScaling, scalingCells } from './suites/scaling.ts'
import { rowCells, textTable } from './table.ts'

const loadBefore = os.loadavg()[0]!

/** Rows of a suite; a row that fails says why and the others go on. */
async function measure(
  suite: Suite,
  session: Session,
  options: BenchOptions,
  onRow: (row: Row) => Promise<void>,
): Promise<Row[]> {
  const run = { peers: peersRow, limits: limitsRow, scale: scaleRow }[suite]
  const measured: Row[] = []
  for (const { spec, model } of chooseRows(suite, options.rows, options.models)) {
    const start = performance.now()
    session.options.log(`${spec.id} ${model} ...`)
    const row = await run(session, spec, model).catch((error: Error) => failedRow(spec, model, error.message))
    const seconds = ((performance.now() - start) / 1000).toFixed(0)
    session.options.log(`${spec.id} ${model}: ratio ${row.ratio?.toFixed(2) ?? `none, ${row.why}`} (${seconds} s)`)
    measured.push(row)
    await onRow(row)
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
  const news: Partial<Results> = {}
  // After each row: what has been measured is kept when the rest is interrupted.
  const record = async (part: Partial<Results>) => {
    if (options.out === null) return
    const machine = describeMachine(options.threads, loadBefore, session.versions)
    await writeReport(options.out, mergeRecord(await readRecord(options.out), { ...part, machine }))
  }
  let gpu: Awaited<ReturnType<typeof measureGpu>> | undefined
  const tables: { header: string[]; lines: string[][] }[] = []
  for (const suite of options.suites) {
    if (suite === 'peers' || suite === 'limits' || suite === 'scale') {
      const rows = await measure(suite, session, options, (row) => record({ rows: [row] }))
      news.rows = [...(news.rows ?? []), ...rows]
      tables.push(rowCells(rows))
    } else if (suite === 'kernels') {
      news.kernels = { at: new Date().toISOString(), rows: await measureKernels(session) }
      await record({ kernels: news.kernels })
      tables.push(kernelCells(news.kernels.rows))
    } else if (suite === 'scaling') {
      const models = options.models.length > 0 ? options.models : ['tiny', 'm30']
      const rows = []
      for (const model of models) rows.push(...(await measureScaling(session, model)))
      news.scaling = { at: new Date().toISOString(), rows }
      await record({ scaling: news.scaling })
      tables.push(scalingCells(rows))
    } else if (suite === 'gpu') {
      gpu = await measureGpu(session, options)
      tables.push(gpuCells(gpu))
      if (!options.json) process.stdout.write(`${gpuReport(gpu)}\n\n`)
      if (options.out !== null) log(await writeGpu(options.out, gpu))
    }
  }
  const machine = describeMachine(options.threads, loadBefore, session.versions)
  const isMeasured = Object.keys(news).length > 0 || gpu !== undefined
  if (!options.json) {
    for (const { header, lines } of tables) process.stdout.write(`${textTable(header, lines)}\n\n`)
    if (isMeasured) process.stdout.write(`${JSON.stringify(machine, null, 2)}\n`)
  }
  if (options.out !== null) {
    if (options.suites.includes('report')) {
      await writeReport(options.out, await readRecord(options.out))
      const recorded = await readGpu(options.out)
      if (recorded !== null) log(await writeGpu(options.out, recorded))
    }
    if (Object.keys(news).length > 0 || options.suites.includes('report'))
      log(`wrote benchmarks.md, benchmarks.json and images/benchmarks.svg in ${options.out}`)
  }
  const { rows = [], kernels, scaling } = news
  const line = {
    rows,
    ...(kernels && { kernels: kernels.rows }),
    ...(scaling && { scaling: scaling.rows }),
    ...(gpu && { gpu }),
    machine,
  }
  process.stdout.write(`${JSON.stringify(line)}\n`)
  return 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof RangeError)) throw error
  process.stderr.write(`${error.message}\nnpm run bench -- --help lists the options.\n`)
  process.exitCode = 2
}
