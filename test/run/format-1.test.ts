/**
 * `test/fixtures/run-format-1` is a run of four steps that an earlier version began, killed with its second step on the disk; `expected`
 * holds the weights that the same version came to. Folders of the machine are written as __folder__ and __cwd__.
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { parse } from 'yaml'
import { resume } from '../../lib/index.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const fixture = fileURLToPath(new URL('../fixtures/run-format-1', import.meta.url))

test('a run of format 1 goes on as it began, with the defaults of its time', async (t) => {
  const folder = join(await temporaryFolder(t), 'run')
  cpSync(fixture, folder, { recursive: true })
  for (const name of ['run.json', 'config.yaml']) {
    const file = join(folder, name)
    const text = readFileSync(file, 'utf8').replaceAll('__folder__', folder).replaceAll('__cwd__', process.cwd())
    writeFileSync(file, text)
  }
  const steps: number[] = []
  await using resumed = await resume(folder)
  for await (const { index } of resumed.run) steps.push(index)
  t.deepEqual(steps, [3, 4])

  const config = parse(readFileSync(join(folder, 'config.yaml'), 'utf8'))
  t.like(config, { algorithm: { logProbs: 'model', ended: 'stop' }, optimizer: { decay: 'all' } })
  const lines = (name: string, root: string) => readFileSync(join(root, name), 'utf8').split('\n')
  t.deepEqual(lines('metrics.jsonl', folder).slice(0, 2), lines('metrics.jsonl', fixture).slice(0, 2))
  t.is(lines('metrics.jsonl', folder).length, 5)

  // Another processor may sum in another order, and so draw another token.
  if (loadAddon().info().cpuCapability !== 'AVX512') return
  for (const agent of ['aux', 'main']) {
    const weights = (file: string) => {
      const bytes = readFileSync(file)
      const begin = bytes.byteOffset + 8 + Number(bytes.readBigUInt64LE(0))
      return new Float32Array(bytes.buffer.slice(begin, bytes.byteOffset + bytes.byteLength))
    }
    const own = weights(join(folder, 'final', agent, 'adapter_model.safetensors'))
    const expected = weights(join(fixture, 'expected', `${agent}.safetensors`))
    t.is(own.length, expected.length)
    t.true(own.every((value, i) => Math.abs(value - expected[i]!) < 1e-6))
  }
})
