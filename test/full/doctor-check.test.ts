import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import type { CheckReport } from '../../lib/check/types.ts'
import { addonPath, loadAddon } from '../../lib/native/load-addon.ts'
import { runCli } from '../support/cli.ts'
import { skipBecause } from '../support/skip.ts'

const library = join(dirname(addonPath()), 'magrpo_software_cuda.so')

// On a GPU where there is one, else on the software device.
test('a check of a device comes to its end, and says what may be turned on', async (t) => {
  const isGpu = loadAddon().info().cuda.available
  if (!isGpu && !existsSync(library)) return skipBecause(t, 'there is no device')
  t.timeout(60 * 60_000)
  const env: Record<string, string> = isGpu ? {} : { MAGRPO_DEVICE: 'software' }
  const quick = await runCli(['doctor', '--check', 'cuda:0', '--quick'], { env })
  t.log(quick.stdout)
  t.is(quick.code, 0, quick.stderr)
  t.is(/This is not a GPU/.test(quick.stdout), !isGpu)
  t.regex(quick.stdout, /All checks passed/)
  t.regex(quick.stdout, /Safe to turn on .*MAGRPO_CUDA_GRAPHS=1 MAGRPO_CUDA_STREAMS=1 MAGRPO_CUDA_PINNED=1/)
  const { stdout, stderr, code } = await runCli(['doctor', '--check', 'cuda:0', '--json'], { env })
  t.is(code, 0, stdout + stderr)
  const { stages, settings } = JSON.parse(stdout) as CheckReport
  t.log(stages.map(({ name, seconds }) => `${name} ${seconds} s`).join(', '))
  // Every even head size from 2 to 256.
  const attention = stages[0]!.rows.find(({ what }) => what === 'attention, with gradients')
  t.true(attention!.cases >= 128)
  t.true(settings.every(({ safe }) => safe))
})
