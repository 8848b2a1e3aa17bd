import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { addonPath } from '../../lib/native/load-addon.ts'
import { runCli } from '../support/cli.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

/** A configuration whose reward says in a file that it was called, and then does what is given. */
async function prepare(t: ExecutionContext, reward: string): Promise<{ folder: string; called: string }> {
  const folder = await temporaryFolder(t)
  const called = join(folder, 'called')
  await writeFile(
    join(folder, 'task.mjs'),
    `import { writeFileSync } from 'node:fs'
export default {
  name: 'slow',
  agents: ['left', 'right'],
  items: [{ prompt: 'item' }],
  observe: (item) => item.prompt,
  reward: async () => { writeFileSync(${JSON.stringify(called)}, ''); ${reward} },
  defaults: { maxNewTokens: 2 },
}
`,
  )
  const yaml = `team: { model: ${JSON.stringify(tinyModel({ tokenizer: true }))}, adapter: { rank: 2 } }
task: { module: task.mjs }
algorithm: { groupSize: 2 }
optimizer: { learningRate: 1.0e-3 }
steps: 2
`
  await writeFile(join(folder, 'slow.yaml'), yaml)
  return { folder, called }
}

/** Waits for what a process writes, or for its end. */
async function said(child: ChildProcess, text: RegExp): Promise<void> {
  let all = ''
  child.stderr?.on('data', (piece: string) => {
    all += piece
  })
  for (let tries = 0; tries < 1000 && child.exitCode === null && !text.test(all); tries++) await sleep(20)
}

const whenThere = async (child: ChildProcess, file: string) => {
  while (child.exitCode === null && !existsSync(file)) await sleep(20)
}

test.serial(
  'Ctrl-C while a reward keeps JavaScript busy says what is waited for; the second one ends the process',
  async (t) => {
    if (!existsSync(join(addonPath(), '../interrupts.node'))) return skipBecause(t, 'the addon is not built')
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const { folder, called } = await prepare(t, 'for (;;) {}')
      const result = await runCli(['train', 'slow.yaml', '--run-dir', signal], {
        cwd: folder,
        onSpawn: async (child) => {
          await whenThere(child, called)
          child.kill(signal)
          await said(child, /waiting/)
          child.kill(signal)
          // Where nothing answers, the test must end too.
          await sleep(20_000, undefined, { ref: false })
          child.kill('SIGKILL')
        },
      })
      t.is(result.code, signal === 'SIGINT' ? 130 : 143, result.stderr)
      t.regex(result.stderr, /waiting for JavaScript .*\(once more to leave at once\)/)
      t.regex(result.stderr, /left at once/)
      t.false(existsSync(join(folder, signal, 'checkpoints')))
    }
  },
)

test.serial('Ctrl-C while a reward is waited for ends the run, and what the reward left running too', async (t) => {
  const { folder, called } = await prepare(t, 'await new Promise(() => setInterval(() => {}, 1000))')
  const result = await runCli(['train', 'slow.yaml'], {
    cwd: folder,
    onSpawn: async (child) => {
      await whenThere(child, called)
      child.kill('SIGINT')
    },
  })
  t.is(result.code, 130, result.stderr)
  t.regex(result.stderr, /stopping/)
})

test.serial('a program that trains keeps its own answer to Ctrl-C', async (t) => {
  const { folder } = await prepare(t, 'process.kill(process.pid, "SIGINT"); for (;;) {}')
  await writeFile(
    join(folder, 'program.mts'),
    `import { prepareRun } from ${JSON.stringify(join(import.meta.dirname, '../../lib/session/prepare-run.ts'))}
import { loadConfig } from ${JSON.stringify(join(import.meta.dirname, '../../lib/config/load.ts'))}
const prepared = await prepareRun(await loadConfig('slow.yaml', []), {})
await prepared.run.result
`,
  )
  const child = spawn(process.execPath, [`--import=${import.meta.resolve('tsx')}`, 'program.mts'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const signal = await new Promise((resolve) => child.on('exit', (_, by) => resolve(by)))
  t.is(signal, 'SIGINT')
})
