import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { repositoryDir } from '../support/fixtures.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const script = join(repositoryDir, 'scripts/gpu-check.sh')
const run = (...args: string[]) => spawnSync('bash', [script, ...args], { encoding: 'utf8' })

test('the script for a bare machine runs all stages on the software device', async (t) => {
  if (!existsSync(join(repositoryDir, 'build/Release/magrpo_device_test')))
    return skipBecause(t, 'there is no software device')
  t.timeout(20 * 60_000)
  const out = await temporaryFolder(t)
  const { status, stdout, stderr } = run('--software', '--out', out)
  t.log(stdout)
  t.is(status, 0, stderr)
  for (const stage of ['native tests', 'doctor --check', 'bench gpu'])
    t.regex(stdout, new RegExp(`^${stage} +passed`, 'm'))
  t.regex(stdout, /no GPU/)
})

test('it says what it does not know, and what it lacks', (t) => {
  t.is(run('--frob').status, 2)
  if (spawnSync('nvidia-smi').status === 0) return skipBecause(t, 'there is a GPU')
  const { status, stdout } = run()
  t.is(status, 1)
  t.regex(stdout, /^driver +failed/m)
})
