import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import type { CheckReport } from '../../lib/check/types.ts'
import { addonPath, loadAddon } from '../../lib/native/load-addon.ts'
import { runCli } from '../support/cli.ts'
import { skipBecause } from '../support/skip.ts'

const library = join(dirname(addonPath()), 'magrpo_software_cuda.so')
const without = existsSync(library) ? null : 'this build has no software device'
const software = { MAGRPO_DEVICE: 'software' }

test.serial(
  '--check runs every kernel on the device, and what fails is told with its reason and exit code 1',
  async (t) => {
    if (without !== null) return skipBecause(t, without)
    t.timeout(600_000)
    // No model fits, so that all but the kernels fails at once.
    const env = { ...software, MAGRPO_MEMORY_LIMIT: '64KB' }
    const { code, stdout, stderr } = await runCli(['doctor', '--check', 'cuda:1', '--quick', '--json'], { env })
    t.is(code, 1, stderr)
    const report = JSON.parse(stdout) as CheckReport
    t.like(report, { device: 'cuda:1', name: 'software device', isGpu: false, quick: true, passed: false })
    t.is(stderr, '', 'with --json nothing else is said')
    const [kernels, ...others] = report.stages
    t.true(kernels!.passed && kernels!.rows.length >= 15, JSON.stringify(kernels))
    for (const row of kernels!.rows) t.true(row.difference! <= row.bound! && row.cases > 0, row.what)
    t.true(kernels!.rows.some(({ dtype }) => dtype === 'bfloat16'))
    for (const { name, passed, rows } of others) {
      // It has no model on the CPU.
      if (name === 'memory') continue
      t.false(passed, name)
      t.regex(rows.at(-1)!.failure!, /memory/i, name)
    }
    t.deepEqual(
      report.settings.map(({ safe }) => safe),
      [false, false, false],
    )
  },
)

test.serial('Ctrl-C ends a check at once', async (t) => {
  if (without !== null) return skipBecause(t, without)
  const { code, stderr } = await runCli(['doctor', '--check', 'cuda:0'], {
    env: software,
    onSpawn: (child) =>
      child.stderr!.on('data', (text: string) => /checking models/.test(text) && child.kill('SIGINT')),
  })
  t.is(code, 130, stderr)
  t.notRegex(stderr, /checking samples/)
})

test('what cannot be checked is said', async (t) => {
  const cpu = await runCli(['doctor', '--check', 'cpu'])
  t.is(cpu.code, 2)
  t.regex(cpu.stderr, /Expected a device such as cuda:0 but received "cpu": the CPU is what devices are compared with/)
  t.is((await runCli(['doctor', '--quick'])).code, 2)
  if (loadAddon().info().cuda.available) return skipBecause(t, 'there is a GPU')
  const none = await runCli(['doctor', '--check', 'cuda:0'])
  t.is(none.code, 1)
  t.regex(none.stderr, /"cuda:0" cannot be had/)
})
