/** How a process ends while the core works, or does not. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { type GoldenConfig, goldenShapes } from '../support/golden-models.ts'
import { runProgram } from '../support/native-processes.ts'
import { endlessFolder } from '../support/native-work.ts'
import { tinyModel } from '../support/tiny-model.ts'

/** `policy`, `long` (a generation of two thousand steps) and `short` (one of three). */
const prelude = `
  const { Model } = await lib('model/model.ts')
  const { Policy } = await lib('model/policy.ts')
  const { loadAddon } = await lib('native/load-addon.ts')
  loadAddon().setThreads(1)
  const model = await Model.load(process.argv[1], { device: 'cpu' })
  const policy = Policy.base(model)
  const prompt = Int32Array.from([5, 17, 80])
  const generate = (maxNewTokens, onTokens, signal) =>
    policy.generate([prompt], { maxNewTokens, count: 8, stopIds: [], onTokens, signal })
  const long = (onTokens, signal) => generate(2000, onTokens, signal)
  const short = (onTokens) => generate(3, onTokens)
`
const folder = endlessFolder()
/** A model whose embedding takes 64 MB, all of them zeros that the file does not store. */
function largeFolder(): string {
  const large = tinyModel({ config: { vocab_size: 262_144 } })
  const config = JSON.parse(readFileSync(join(large, 'config.json'), 'utf8')) as GoldenConfig
  let end = 0
  const header = goldenShapes(config).map(({ name, shape }) => {
    const begin = end
    end += shape.reduce((product, length) => product * length, 4)
    return [name, { dtype: 'F32', shape, data_offsets: [begin, end] }]
  })
  const text = Buffer.from(JSON.stringify(Object.fromEntries(header)))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(join(large, 'model.safetensors'), Buffer.concat([length, text]))
  truncateSync(join(large, 'model.safetensors'), 8 + text.length + end)
  return large
}

const run = (source: string, onOutput?: Parameters<typeof runProgram>[2]) =>
  runProgram(prelude + source, [folder], onOutput)

test('a process with idle handles ends by itself', async (t) => {
  const { code, stdout, stderr } = await run(`
    await Policy.lora(model)
    await short(() => {})
    new (loadAddon().CancelFlag)()
    console.log('last line')
  `)
  t.is(stderr, '')
  t.deepEqual([code, stdout], [0, 'last line\n'])
})

test('a process stays until what runs has ended', async (t) => {
  const { code, stdout } = await run(`
    generate(50).then(() => console.log('generated'))
    console.log('last line')
  `)
  t.deepEqual([code, stdout], [0, 'last line\ngenerated\n'])
})

test('a process that disposed everything ends with nothing left', async (t) => {
  const { code, stdout } = await run(`
    await short()
    await model.dispose()
    process.on('exit', () => console.log(JSON.stringify(loadAddon().liveObjects())))
  `)
  t.is(code, 0)
  t.deepEqual(JSON.parse(stdout), { models: 0, policies: 0, jobs: 0 })
})

for (const [when, source] of Object.entries({
  'right after a call': 'long(); process.exit(7)',
  'while tokens come': 'let n = 0; setTimeout(() => {}, 1e6); long(() => { if (++n === 5) process.exit(7) })',
  'with many calls queued':
    'for (let i = 0; i < 20; i++) long(); const a = await Policy.lora(model); a.step({ learningRate: 1 }); process.exit(7)',
  'while a model is loading': 'Model.load(process.argv[1]); setImmediate(() => process.exit(7)); long()',
  'while a policy is being disposed': 'long(); model.dispose(); setImmediate(() => process.exit(7))',
}))
  test(`process.exit ${when} ends the process at once, with its code`, async (t) => {
    const { code, signal, stderr } = await run(source)
    t.deepEqual({ code, signal, stderr }, { code: 7, signal: null, stderr: '' })
  })

test('at process.exit, nothing computes any more when the listeners of a program hear of it', async (t) => {
  const { code, stdout } = await run(`
    process.on('exit', () => {
      const before = process.cpuUsage()
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
      const { user, system } = process.cpuUsage(before)
      console.log((user + system) / 1000)
    })
    for (let i = 0; i < 5; i++) long()
    setTimeout(() => process.exit(7), 50)
  `)
  t.is(code, 7)
  t.true(Number(stdout) < 50, `${stdout.trim()} ms of computing in a second of waiting`)
})

test('an uncaught error ends the process as ever, also while the core works', async (t) => {
  const { code, signal, stderr } = await run(`long(); setTimeout(() => { throw new Error('of the program') }, 20)`)
  t.deepEqual([code, signal], [1, null])
  t.true(stderr.includes('of the program'))
})

test('an error in onTokens is an uncaught exception, not silence', async (t) => {
  const source = `await long(() => { throw new Error('of the callback') })`
  const { code, signal, stderr } = await run(source)
  t.deepEqual([code, signal], [1, null])
  t.true(stderr.includes('of the callback'))
})

test('where uncaught exceptions are handled, each error in onTokens arrives and the generation ends well', async (t) => {
  const { code, stdout, stderr } = await run(`
    let caught = 0
    process.on('uncaughtException', (error) => { if (error.message === 'of the callback') caught++ })
    const [generation] = await short(() => { throw new Error('of the callback') })
    console.log(caught, generation.samples.length, generation.samples[0].ids.length)
  `)
  t.deepEqual([code, stdout, stderr], [0, '3 8 3\n', ''])
})

test('an error in onProgress of a load arrives in the same way', async (t) => {
  const { code, stdout } = await run(`
    let caught = 0
    process.on('uncaughtException', (error) => { if (error.message === 'of the callback') caught++ })
    const other = await Model.load(process.argv[1], { onProgress() { throw new Error('of the callback') } })
    console.log(caught > 0, other.parameterCount > 0)
  `)
  t.deepEqual([code, stdout], [0, 'true true\n'])
})

for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const)
  test(`${signal} in the middle of a generation ends the process`, async (t) => {
    let isSent = false
    const ended = await run(`await long(() => console.log('token'))`, (stdout, child) => {
      if (!stdout.includes('token') || isSent) return
      isSent = true
      child.kill(signal)
    })
    t.deepEqual([ended.code, ended.signal], [null, signal])
  })

test('a SIGINT that the program handles can stop the generation by its signal', async (t) => {
  let isSent = false
  const { code, stdout } = await run(
    `
    const controller = new AbortController()
    process.on('SIGINT', () => controller.abort(new Error('interrupted')))
    await long(() => console.log('token'), controller.signal).catch((error) => console.log(error.message))
    await short()
    console.log('and on')
  `,
    (text, child) => {
      if (!text.includes('token') || isSent) return
      isSent = true
      child.kill('SIGINT')
    },
  )
  t.is(code, 0)
  t.true(stdout.endsWith('interrupted\nand on\n'))
})

test('collected handles free what they held', async (t) => {
  const { code, stdout } = await run(`
    const counts = () => JSON.stringify(loadAddon().liveObjects())
    const before = counts()
    const forget = async () => {
      const other = await Model.load(process.argv[1], { device: 'cpu' })
      const full = await Policy.full(other)
      await full.zeroGrad()
      await Policy.lora(other)
    }
    for (let i = 0; i < 3; i++) await forget()
    await short()
    for (let i = 0; i < 3000 && counts() !== before; i++) {
      gc()
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    console.log(before, counts())
  `)
  t.is(code, 0)
  const [before, after] = stdout.trim().split(' ')
  t.is(after, before)
})

test('the memory of a model and of its optimizer goes when they are disposed', async (t) => {
  const { code, stdout, stderr } = await runProgram(
    prelude +
      `
    const resident = () => {
      gc()
      return process.memoryUsage.rss()
    }
    const before = resident()
    const other = await Model.load(process.argv[2], { device: 'cpu', dtype: 'float32' })
    const loaded = resident()
    const full = await Policy.full(other)
    await full.accumulate([{ promptIds: Int32Array.of(1), completions: [{ ids: Int32Array.of(2), weights: Float32Array.of(1) }] }])
    await full.step({ learningRate: 1e-3 })
    const trained = resident()
    await full.dispose()
    const disposed = resident()
    await other.dispose()
    const after = resident()
    const share = (bytes) => bytes / other.weightBytes
    console.log(JSON.stringify([loaded - before, trained - before, disposed - before, after - before].map(share)))
  `,
    [folder, largeFolder()],
  )
  t.is(code, 0, stderr)
  const [loaded, trained, disposed, after] = JSON.parse(stdout) as [number, number, number, number]
  t.log(`in weights: ${loaded} loaded, ${trained} trained, ${disposed} without optimizer, ${after} after`)
  t.true(loaded > 0.9 && loaded < 1.5, `${loaded}`)
  t.true(trained > 2.5, 'two moments')
  t.true(disposed < loaded + 0.5, `${disposed}`)
  t.true(after < 0.5, `${after}`)
})
