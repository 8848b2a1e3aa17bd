/** Training processes that are killed in the middle of their work, and resumed. */
import type { ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CliResult, runCli } from './cli.ts'
import { tinyModel } from './tiny-model.ts'

/**
 * Writes a configuration of a short run. Its reward writes down each call in `calls.txt`, so that one that is asked for twice shows.
 *
 * @param settings of the team besides its model, of the algorithm, and `more` lines; the task has so many agents, and two turns if they
 *   are asked for
 * @returns arguments of `magrpo train`
 */
export async function writeConfig(
  folder: string,
  { team = 'adapter: { rank: 4 }', algorithm = 'groupSize: 3', agents = ['left', 'right'], more = '' } = {},
): Promise<string[]> {
  await writeFile(
    join(folder, 'task.mjs'),
    `import { appendFileSync } from 'node:fs'
const letters = (text) => new Set(text).size
export default {
  name: 'letters',
  agents: ${JSON.stringify(agents)},
  items: Array.from({ length: 7 }, (_, i) => ({ prompt: 'item ' + i + ':' })),
  heldOut: [{ prompt: 'held:' }, { prompt: 'out:' }],
  observe: (item, agent) => item.prompt + agent,
  reward: (item, joint) => {
    appendFileSync(${JSON.stringify(join(folder, 'calls.txt'))}, 'call\\n')
    return letters(joint.map(({ text }) => text).join('')) / 24
  },
  transition: (item, joint) =>
    joint[0].text < 'P' ? 'stop' : { prompts: joint.map(({ text }, agent) => item.prompt + text.slice(0, 3) + agent) },
  defaults: { maxNewTokens: 12 },
}
`,
  )
  await writeFile(
    join(folder, 'tiny.yaml'),
    `team: { model: ${JSON.stringify(tinyModel({ tokenizer: true }))}, ${team} }
task: { module: task.mjs }
algorithm: { ${algorithm} }
optimizer: { learningRate: 5.0e-3, schedule: linear, maxGradNorm: 1 }
steps: 30
promptsPerStep: 2
evalEvery: 7
checkpointEvery: 4
seed: 3
${more}`,
  )
  return ['tiny.yaml']
}

/** When a process is killed. */
export type Instant =
  /** So many milliseconds after it was started. */
  | { at: 'start'; ms: number }
  /** So many milliseconds after `metrics.jsonl` got this many more lines. */
  | { at: 'line'; lines: number; ms: number }
  /** So many milliseconds after it began to write a checkpoint, the `nth` that is seen. */
  | { at: 'checkpoint'; nth: number; ms: number }
  /** So many milliseconds after it began to write the folder. */
  | { at: 'folder'; name: 'best' | 'final'; ms: number }

/** One way a run was killed: what it was, and whether the process was still alive then. */
export interface Kill {
  instant: Instant
  wasAlive: boolean
  /** Whether a checkpoint was half written. */
  wasWriting: boolean
}

/**
 * Starts or resumes a run and kills it with SIGKILL, or lets it leave at once by Ctrl-C twice.
 *
 * @param folder where the command works
 * @param runDir run folder, below it
 */
export async function killRun(
  folder: string,
  args: string[],
  runDir: string,
  instant: Instant,
  how: 'SIGKILL' | 'Ctrl-C twice' = 'SIGKILL',
): Promise<Kill> {
  const path = join(folder, runDir)
  const isThere = existsSync(join(path, 'run.json'))
  const kill = { instant, wasAlive: false, wasWriting: false }
  await runCli(isThere ? ['resume', runDir, '--quiet'] : ['train', ...args, '--run-dir', runDir, '--quiet'], {
    cwd: folder,
    onSpawn: async (child) => {
      await reached(child, path, instant)
      if (instant.ms > 0) await sleep(instant.ms)
      kill.wasAlive = child.exitCode === null && child.signalCode === null
      if (how === 'Ctrl-C twice') {
        child.kill('SIGINT')
        await sleep(1)
        child.kill('SIGINT')
      } else child.kill('SIGKILL')
      kill.wasWriting = writingOf(path).length > 0
    },
  })
  return kill
}

/** Resumes a run to its end. One that was killed before it said what it is is begun again. */
export function finishRun(folder: string, args: string[], runDir: string): Promise<CliResult> {
  const isThere = existsSync(join(folder, runDir, 'run.json'))
  const command = isThere ? ['resume', runDir] : ['train', ...args, '--run-dir', runDir]
  return runCli([...command, '--quiet'], { cwd: folder })
}

async function reached(child: ChildProcess, path: string, instant: Instant): Promise<void> {
  const isRunning = () => child.exitCode === null && child.signalCode === null
  const until = async (isThere: () => boolean) => {
    while (isRunning() && !isThere()) await sleep(1)
  }
  if (instant.at === 'line') {
    const before = linesOf(path)
    // A run that goes on first cuts the lines after its checkpoint.
    let least = before
    await until(() => {
      const now = linesOf(path)
      least = Math.min(least, now)
      return now >= least + instant.lines
    })
  } else if (instant.at === 'checkpoint') {
    const old = new Set(writingOf(path))
    const seen = new Set<string>()
    await until(() => {
      for (const name of writingOf(path)) if (!old.has(name)) seen.add(name)
      return seen.size >= instant.nth
    })
  } else if (instant.at === 'folder') {
    await until(() => existsSync(join(path, `${instant.name}.writing`)))
  }
}

function writingOf(path: string): string[] {
  try {
    return readdirSync(join(path, 'checkpoints')).filter((name) => name.endsWith('.writing'))
  } catch {
    return []
  }
}

function linesOf(path: string): number {
  const file = join(path, 'metrics.jsonl')
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0
}

/** The first line of metrics and samples in which two runs differ, of both; for the log of a test that is about to fail. */
export function firstDifferences(path: string, other: string): string[] {
  return ['metrics.jsonl', 'samples.jsonl'].flatMap((name) => {
    const [lines, others] = [path, other].map((each) => readFileSync(join(each, name), 'utf8').split('\n')) as [
      string[],
      string[],
    ]
    const line = lines.findIndex((text, index) => text !== others[index])
    return line < 0 ? [] : [`${name}, line ${line + 1}:`, `  ${lines[line]}`, `  ${others[line]}`]
  })
}

/** Checksums of what a run must come to: all lines, the final weights and the best ones. */
export function outcomeOfRun(path: string): Record<string, string> {
  const below = (name: string): string[] =>
    statSync(join(path, name)).isDirectory()
      ? readdirSync(join(path, name)).flatMap((entry) => below(join(name, entry)))
      : [name]
  const names = ['metrics.jsonl', 'samples.jsonl', ...below('final'), ...below('best')]
  return Object.fromEntries(
    names.map((name) => [
      name,
      createHash('sha256')
        .update(readFileSync(join(path, name)))
        .digest('hex'),
    ]),
  )
}
