import { existsSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { repositoryDir, skip } from '../support/fixtures.ts'

test('the demo ends with one JSON line: pass rates before and after, and the time of training', async (t) => {
  if (!existsSync(join(repositoryDir, 'models/mini-code/model.safetensors'))) return skip(t, 'models/mini-code')
  const result = await runCli(['demo', '--json', '--seed', '1', '--steps', '2'])
  t.is(result.code, 0, result.stderr)
  const lines = result.json() as {
    before: { pass_rate: number }
    after: { pass_rate: number }
    train_seconds: number
  }[]
  t.is(lines.length, 1)
  const { before, after, train_seconds } = lines[0]!
  t.deepEqual(Object.keys(lines[0]!), ['before', 'after', 'train_seconds'])
  t.true(before.pass_rate > 0.15 && before.pass_rate < 0.4, `before: ${before.pass_rate}`)
  t.true(after.pass_rate > 0 && after.pass_rate < 1)
  t.true(train_seconds > 0)
  t.regex(result.stderr, /Before training: 400 held-out problems, 4 programs each/)
  t.regex(result.stderr, /✘ fails: aux is the \w+, main takes it for the \w+/)
})
