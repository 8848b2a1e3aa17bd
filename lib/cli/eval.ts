import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, Option } from 'commander'
import { MagrpoError } from '../base/errors.ts'
import { formatMetric } from '../base/format.ts'
import type { RunConfig } from '../config/load.ts'
import { parseSetting } from '../config/set-paths.ts'
import { placeOfProcess } from '../ranks/launcher.ts'
import type { EvalReport } from '../rl/types/reports.ts'
import { runFiles } from '../run/run-folder.ts'
import { runsInProcesses } from './in-processes.ts'
import { interruptible } from './interrupts.ts'
import { collect, integerFrom, maxSeed } from './option-values.ts'
import { note, printJson, printLine, UsageError } from './output.ts'

interface EvalOptions {
  weights: 'final' | 'best' | 'initial'
  task?: string
  model?: string[]
  items?: number
  samples: number
  greedy: boolean
  seed?: number
  set?: string[]
  processes?: number
  quiet?: boolean
  json?: boolean
}

/** Adds `magrpo eval`: mean rewards on held-out items. */
export function addEvalCommand(program: Command): void {
  program
    .command('eval')
    .description("score a team on a task's held-out items, sampled and greedy")
    .argument('[run]', 'run folder, or a YAML configuration (its untrained team)')
    .addOption(
      new Option('--weights <which>', 'of a run folder').choices(['final', 'best', 'initial']).default('final'),
    )
    .option('--task <name>', 'without a run: the task; its options by --set task.KEY=VALUE')
    .option(
      '--model <name>',
      'without a run: the model of all agents (folder or org/name), or one an agent in their order',
      collect,
    )
    .option('--items <count>', 'held-out items, from the first on; all by default', integerFrom(1))
    .option('--samples <count>', 'sampled joint completions an item; 0 leaves sampling out', integerFrom(0), 1)
    .option('--no-greedy', 'leave the greedy pass out')
    .option('--seed <number>', "equal seeds give equal samples; the run's by default", integerFrom(0, maxSeed))
    .option('--set <path=value>', 'change a setting, such as sampling.temperature=0.7; may come several times', collect)
    .option('--processes <count>', 'play the items on so many processes of this machine', integerFrom(1))
    .option('--quiet', 'show no progress')
    .option('--json', 'print {"task":..,"items":..,"score":..,"metrics":{..}}')
    .addHelpText(
      'after',
      `
Examples:
  magrpo eval runs/story
  magrpo eval runs/story --weights initial --items 200 --json
  magrpo eval --task tldr --model my-model --set task.train=posts.jsonl --set task.heldOut=held-out.jsonl`,
    )
    .action(async (run: string | undefined, options: EvalOptions) => {
      if (await runsInProcesses(options.processes)) return
      await interruptible((signal) => evaluateAndPrint(run, options, signal))
    })
}

async function evaluateAndPrint(run: string | undefined, options: EvalOptions, signal: AbortSignal): Promise<void> {
  const { config, weights } = await configOf(run, options)
  const { loadPlay } = await import('../session/load-parts.ts')
  const { evaluate } = await import('../session/evaluate.ts')
  const isFirst = (placeOfProcess()?.rank ?? 0) === 0
  const say = options.quiet || !isFirst ? () => {} : note
  const { task, loaded, dispose } = await loadPlay(config, { signal, weights, onProgress: say, onWarning: note })
  try {
    const heldOut = task.heldOut?.length ? task.heldOut : task.items
    const items = heldOut.slice(0, options.items)
    const { samples, greedy, seed = config.seed } = options
    const { sampling, longPrompts, rewardTimeoutMs, rewardConcurrency } = config
    const limits = { longPrompts, rewardTimeoutMs, rewardConcurrency, turns: config.algorithm.turns }
    const played = { team: loaded.team, task, items, sampling, samples, greedy, seed }
    const report = await evaluate({ ...played, ...limits, signal, onProgress: progressNotes(say) })
    const about = { task: task.name, items: items.length, held_out: heldOut === task.heldOut, samples }
    if (isFirst) await print(report, about, options.json === true)
  } finally {
    await dispose()
  }
}

async function configOf(
  run: string | undefined,
  options: EvalOptions,
): Promise<{ config: RunConfig; weights?: string }> {
  const { loadConfig, resolveConfig } = await import('../config/load.ts')
  const settings = (options.set ?? []).map(parseSetting)
  if (run === undefined) {
    const { task, model } = options
    if (task === undefined || model === undefined)
      throw new UsageError('expected a run folder, a configuration, or --task with --model')
    const team = model.length === 1 ? { model: model[0] } : { models: model }
    const input = { team: { ...team, adapter: 'full' }, task: { name: task }, optimizer: { learningRate: 0 }, steps: 1 }
    return { config: resolveConfig(input, { settings, where: 'The evaluation' }) }
  }
  if (options.task !== undefined || options.model !== undefined)
    throw new UsageError('--task and --model are for evaluations without a run')
  if (!existsSync(run))
    throw new MagrpoError('ERR_RUN', `There is no run folder or configuration ${run}.`, { details: { path: run } })
  if (!statSync(run).isDirectory()) return { config: await loadConfig(run, settings) }
  const { refuseNewerRun } = await import('../run/run-info.ts')
  await refuseNewerRun(run)
  const config = await loadConfig(join(run, runFiles.config), settings)
  if (options.weights === 'initial') return { config }
  const weights = join(run, options.weights)
  if (existsSync(weights)) return { config, weights }
  const others = (['best', 'final'] as const).filter((each) => existsSync(join(run, each)))
  const ways = [...others, 'initial'].map((each) => `--weights ${each}`).join(' or ')
  const remedy = `the run did not get that far; ${ways} evaluates what is there`
  throw new MagrpoError('ERR_RUN', `The run folder ${run} has no ${options.weights}/: ${remedy}.`, {
    details: { path: weights },
  })
}

/** A line each tenth of the work. */
function progressNotes(say: (line: string) => void): (done: number, total: number) => void {
  let shown = 0
  return (done, total) => {
    const tenth = Math.floor((10 * done) / total)
    if (tenth > shown) say(`${done} of ${total} items`)
    shown = Math.max(shown, tenth)
  }
}

async function print(
  { metrics, score, timings }: EvalReport,
  about: { task: string; items: number; held_out: boolean; samples: number },
  json: boolean,
): Promise<void> {
  if (json) return printJson({ ...about, score, metrics, seconds: timings['time/eval_s'] })
  const which = about.held_out ? 'held-out items' : 'items (the task holds none out)'
  await printLine(`${about.task}: ${about.items} ${which}`)
  for (const line of evalTable(metrics, about.samples)) await printLine(line)
}

/** Sampled and greedy numbers side by side, a metric a line. */
function evalTable(metrics: Record<string, number>, samples: number): string[] {
  const short = (name: string) => name.replace(/^eval\/(greedy\/)?/, '')
  const names = [...new Set(Object.keys(metrics).map(short))]
  const columns = [
    { title: samples === 1 ? 'sampled' : `${samples} sampled`, prefix: 'eval/' },
    { title: 'greedy', prefix: 'eval/greedy/' },
  ].filter(({ prefix }) => names.some((name) => metrics[prefix + name] !== undefined))
  const nameWidth = Math.max(...names.map((name) => name.length))
  const width = Math.max(10, ...columns.map(({ title }) => title.length)) + 2
  const row = (name: string, cellOf: (column: (typeof columns)[number]) => string) =>
    `  ${name.padEnd(nameWidth)}${columns.map((column) => cellOf(column).padStart(width)).join('')}`.trimEnd()
  const cell = (value: number | undefined) => (value === undefined ? '' : formatMetric(value))
  return [
    row('', ({ title }) => title),
    ...names.map((name) => row(name, ({ prefix }) => cell(metrics[prefix + name]))),
  ]
}
