import type { Command } from 'commander'
import { formatDuration } from '../base/format.ts'
import type { EvalReport } from '../rl/types/reports.ts'
import { conventionLine, conventionShares, conventionTable } from '../ui/convention-table.ts'
import { contrastingSamples, demoSample } from '../ui/demo-samples.ts'
import { DemoView } from '../ui/demo-view.ts'
import { painterFor } from '../ui/style.ts'
import { viewMode } from '../ui/training-view.ts'
import { interruptible } from './interrupts.ts'
import { integerFrom, maxSeed } from './option-values.ts'
import { note, printJson, printLine } from './output.ts'

interface DemoOptions {
  seed: number
  steps: number
  quiet?: boolean
  json?: boolean
}

/** Held-out problems of the pass rates, and sampled joint completions of each. */
const scored = { items: 400, samples: 4 }

/** Settings of the demo's run; `examples/mini-code.yaml` has the same. */
const settings = {
  team: { model: 'builtin:mini-code', adapter: 'full' },
  task: { name: 'mini-code', evaluateOn: 'held-out', heldOut: scored.items },
  algorithm: { groupSize: 8 },
  sampling: { temperature: 1 },
  optimizer: { learningRate: 5e-4, schedule: 'linear', warmupSteps: 10, maxGradNorm: 1 },
  promptsPerStep: 16,
}

/** Adds `magrpo demo`: trains the built-in team and shows that it learned. */
export function addDemoCommand(program: Command): void {
  program
    .command('demo')
    .description('train the built-in team of two tiny Python programmers and show that it learned, in about a minute')
    .option('--seed <number>', 'another seed, another agreement', integerFrom(0, maxSeed), 1)
    .option('--steps <count>', 'optimizer steps', integerFrom(1), 80)
    .option('--quiet', 'show the result only')
    .option('--json', 'print {"before":{"pass_rate":..},"after":{"pass_rate":..},"train_seconds":..} as the last line')
    .addHelpText(
      'after',
      `
Two agents write one small Python program, neither seeing the other: one a helper, aux, the other the function that calls it.
Four ideas of what aux should do are equally good, and the untrained agents pick theirs at random, so most programs fail.
Training pays both agents for programs that pass, and nothing else. They come to agree; on what, depends on the seed.

Example:
  magrpo demo --seed 2`,
    )
    .action((options: DemoOptions) => interruptible((signal) => demo(options, signal)))
}

async function demo(options: DemoOptions, signal: AbortSignal): Promise<void> {
  const { quiet = false, json = false } = options
  const { resolveConfig } = await import('../config/load.ts')
  const { loadPlay } = await import('../session/load-parts.ts')
  const config = resolveConfig({ ...settings, seed: options.seed, steps: options.steps })
  const { task, loaded, dispose } = await loadPlay(config, { signal, onWarning: note })
  try {
    const { train } = await import('../session/train.ts')
    const { magrpo } = await import('../rl/algorithms/magrpo.ts')
    const { evaluate } = await import('../session/evaluate.ts')
    const { team, models } = loaded
    const say = quiet ? () => {} : note
    const { seed, steps, optimizer, sampling, promptsPerStep } = config
    const { items, samples } = scored
    const played = { team, task, seed, sampling, signal }
    const score = () => evaluate({ ...played, greedy: false, samples, maxRows: 1024, logSamples: items })

    say(`Two copies of a model with ${models[0]?.parameterCount.toLocaleString('en')} parameters; seed ${seed}.`)
    say(`Before training: ${items} held-out problems, ${samples} programs each ...`)
    const before = await score()
    say(conventionLine(conventionShares(before.metrics, 'eval/')))
    const stream = process.stderr
    const view = new DemoView({ stream, mode: viewMode(stream, quiet), paint: painterFor(stream) })
    const algorithm = magrpo({ groupSize: config.algorithm.groupSize })
    const run = train({ ...played, algorithm, optimizer, steps, promptsPerStep, logSamples: 0, sinks: [view] })
    const { seconds } = await run.result
    say(`After ${steps} steps in ${formatDuration(seconds)}: the same problems ...`)
    const after = await score()
    say(conventionLine(conventionShares(after.metrics, 'eval/')))
    await tell({ before, after, seconds, view }, json)
  } finally {
    await dispose()
  }
}

interface Outcome {
  before: EvalReport
  after: EvalReport
  seconds: number
  view: DemoView
}

/** The story for people, on stdout or, where a machine reads that, on stderr; then the line for machines. */
async function tell({ before, after, seconds, view }: Outcome, json: boolean): Promise<void> {
  const stream = json ? process.stderr : process.stdout
  const columns = Math.min(100, (stream.columns ?? 100) - 1)
  const paint = painterFor(stream)
  const early = contrastingSamples(before.samples)
  const late = after.samples.filter(({ item }) => item === early[0]?.item).slice(0, early.length)
  const lines = [
    '',
    paint('bold', `Before training: ${percent(passRate(before))} of held-out programs pass`),
    ...early.flatMap((row) => demoSample(row, columns, paint)),
    '',
    paint('bold', `After training: ${percent(passRate(after))} of held-out programs pass`),
    ...late.flatMap((row) => demoSample(row, columns, paint)),
    '',
    paint('bold', 'What each agent wrote in training, from the first step to the last'),
    ...conventionTable(view.history, columns, paint),
    '',
    `Held-out programs that pass: ${percent(passRate(before))} before, ${paint('bold', percent(passRate(after)))} after ` +
      `${formatDuration(seconds)} of training.`,
  ]
  for (const line of lines) json ? note(line) : await printLine(line)
  const rates = { before: { pass_rate: passRate(before) }, after: { pass_rate: passRate(after) } }
  if (json) await printJson({ ...rates, train_seconds: Math.round(seconds * 1000) / 1000 })
}

const passRate = (report: EvalReport) => report.metrics['eval/reward/pass'] ?? 0
const percent = (share: number) => `${(100 * share).toFixed(1)} %`
