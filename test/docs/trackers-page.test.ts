import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { parse } from 'yaml'
import { resolveConfig } from '../../lib/config/load.ts'
import type { Tracker } from '../../lib/track/tracker.ts'
import { fakeEnd, fakeEval, fakeOptions, fakeStep } from '../support/fake-reports.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const page = readFileSync(join(repositoryDir, 'docs/trackers.md'), 'utf8')
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => code!)

/** A folder below `build`, where modules of this package are found. */
function workFolder(t: ExecutionContext): string {
  mkdirSync(join(repositoryDir, 'build'), { recursive: true })
  const folder = mkdtempSync(join(repositoryDir, 'build/docs-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

test('YAML blocks are valid', (t) => {
  const base = { team: { model: 'm' }, task: 'story', optimizer: { learningRate: 1 }, steps: 1 }
  const configs = blocks('yaml').map((code) => resolveConfig({ ...base, ...(parse(code) as object) }))
  t.deepEqual(configs.at(0)?.trackers, [{ name: 'tensorboard', options: { sampleEvery: 10 } }])
  t.is(configs.length, 3)
})

/** A stand-in for the client that writes down what it is told. */
const fakeClient = `
import json, os
class Run:
    def __init__(self, config): self.calls = [["init", config]]
    def log(self, values, step): self.calls.append(["log", step, values])
    def finish(self):
        with open(os.environ["FAKE_WANDB_OUT"], "w") as file: json.dump(self.calls, file)
def init(**config): return Run(config)
`

test('the tracker for Weights & Biases tells its client everything', async (t) => {
  const folder = await temporaryFolder(t)
  writeFileSync(join(folder, 'wandb.py'), fakeClient)
  const out = join(folder, 'calls.json')
  const python = join(folder, 'python')
  writeFileSync(python, `#!/bin/sh\nPYTHONPATH='${folder}' FAKE_WANDB_OUT='${out}' exec python3 "$@"\n`, {
    mode: 0o755,
  })
  const module = join(workFolder(t), 'wandb.ts')
  writeFileSync(module, blocks('ts').find((code) => code.includes('weightsAndBiases'))!)
  const { default: make } = (await import(pathToFileURL(module).href)) as {
    default(options: object): Tracker
  }
  const tracker = make({ project: 'haiku', python })
  await tracker.start({ name: 'one', folder: null, options: fakeOptions })
  await tracker.evaluation(fakeEval(0))
  await tracker.step(fakeStep(1))
  await tracker.end(fakeEnd)
  t.deepEqual(JSON.parse(readFileSync(out, 'utf8')), [
    ['init', { project: 'haiku', name: 'one', config: JSON.parse(JSON.stringify(fakeOptions)) }],
    ['log', 0, { 'eval/reward/mean': 0, 'time/eval_s': 1 }],
    ['log', 1, { 'reward/mean': 0.1, 'reward/std': 0.25, 'time/step_s': 2, 'memory/rss_bytes': 2 ** 28 }],
  ])
  // Without the client the run hears of it.
  const broken = make({ python: join(folder, 'none') })
  await broken.start({ name: 'two', folder: null, options: fakeOptions })
  await new Promise((resolve) => setImmediate(resolve))
  await t.throwsAsync(async () => broken.step(fakeStep(1)), { message: /ENOENT/ })
  await broken.end(fakeEnd)
})
