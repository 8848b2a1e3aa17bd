import { spawnSync } from 'node:child_process'
import path from 'node:path'
import test from 'ava'
import { root } from '../setup/stand-ins.ts'
import { skipBecause } from '../support/skip.ts'

// Compiles and links the CUDA build, which needs no GPU, and loads it. Its libtorch is fetched once into the cache.
test('the CUDA build compiles, loads without a GPU and says why there is no device', (t) => {
  t.timeout(40 * 60_000)
  const env = { ...process.env, MAGRPO_CUDA: '1' }
  const run = (...args: string[]) =>
    spawnSync(process.execPath, args, { cwd: root, env, encoding: 'utf8', maxBuffer: 2 ** 26 })
  const step = (name: string) => {
    const start = performance.now()
    const result = run('scripts/setup.mjs', '--only', name)
    t.log(`${name}: ${((performance.now() - start) / 1000).toFixed(0)} s`)
    return result
  }
  const fetched = step('libtorch')
  if (fetched.status !== 0) {
    t.log(fetched.stderr.trimEnd())
    return skipBecause(t, 'the CUDA libtorch or toolkit cannot be had')
  }
  const built = step('addon')
  t.is(built.status, 0, built.stderr)

  const file = path.join(root, 'build/cuda/Release/magrpo.node')
  const script = `
    const addon = require(${JSON.stringify(file)})
    let code = 'no error'
    const model = { device: 'cuda:0', dtype: 'float32', config: {}, tensors: [] }
    try { addon.loadModel(model, {}) } catch (error) { code = error.code + ' ' + error.message }
    console.log(JSON.stringify({ info: addon.info(), code }))`
  const loaded = run('-e', script)
  t.is(loaded.status, 0, loaded.stderr)
  const { info, code } = JSON.parse(loaded.stdout) as {
    info: { cuda: { available: boolean; reason: string | null } }
    code: string
  }
  if (info.cuda.available) {
    t.log('this machine has a CUDA device')
    return
  }
  t.regex(info.cuda.reason ?? '', /^(no_driver|no_device|driver_too_old)$/)
  t.regex(
    code,
    /^ERR_DEVICE Device "cuda:0" cannot be had \((no_driver|no_device|driver_too_old)\): .*Use device "cpu"/,
  )
})
