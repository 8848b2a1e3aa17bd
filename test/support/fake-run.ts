/** Run folders that no training made. */
import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fakeSample } from './fake-reports.ts'

/** Settings of {@link fakeRun}. */
export interface FakeRunOptions {
  name?: string
  steps?: number
  /** `reason` of `result.json`; undefined writes none. */
  reason?: string
  /** Process id in `lock.json`; undefined writes none. */
  pid?: number
  host?: string
}

const lines = (values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')

/** Makes a run folder with some steps. */
export async function fakeRun(folder: string, options: FakeRunOptions = {}): Promise<string> {
  const { name = 'haiku', steps = 5, reason, pid, host } = options
  await mkdir(folder, { recursive: true })
  const config = `name: ${name}\nteam:\n  agents: [first, second]\ntask:\n  name: haiku\nalgorithm:\n  name: magrpo\nsteps: ${steps}\n`
  await writeFile(join(folder, 'config.yaml'), config)
  const environment = { magrpo: '0.1.0', arguments: ['train', 'haiku.yaml'], startedAt: '2026-01-01T00:00:00.000Z' }
  await writeFile(join(folder, 'environment.json'), JSON.stringify(environment))
  for (const file of ['metrics.jsonl', 'timings.jsonl', 'samples.jsonl']) await writeFile(join(folder, file), '')
  await addSteps(folder, 1, steps)
  if (reason !== undefined) await writeFile(join(folder, 'result.json'), JSON.stringify({ reason, steps, seconds: 60 }))
  if (pid !== undefined) await writeFile(join(folder, 'lock.json'), JSON.stringify({ pid, host }))
  return folder
}

/** Appends steps as a run does. */
export async function addSteps(folder: string, from: number, to: number): Promise<void> {
  const steps = Array.from({ length: to - from + 1 }, (_, index) => from + index)
  const metrics = steps.map((step) => ({
    step,
    'reward/mean': Math.sin(step / 20),
    'reward/std': 0.2,
    'reward/structure': step / (step + 10),
    'completion/length_mean/first': 10 + (step % 5),
    'completion/length_mean/second': 20,
    'policy/entropy': 1.5,
    'train/grad_norm': 2 / step,
    'task/cooperation/wrapper': 0.25,
    'task/cooperation/fallback': 0.75,
    ...(step === 2 && { warnings: ['Step 2: something to look at.'] }),
  }))
  const timings = steps.map((step) => ({
    step,
    'time/generate_tokens_per_s': 1000 + step,
    'memory/rss_bytes': 2 ** 28,
  }))
  await appendFile(join(folder, 'samples.jsonl'), lines(steps.slice(-50).map((step) => fakeSample(step))))
  await appendFile(join(folder, 'timings.jsonl'), lines(timings))
  await appendFile(join(folder, 'metrics.jsonl'), lines(metrics))
}
