/** Every native method with arguments of every wrong type: errors, never a crash. In processes of their own. */
import test from 'ava'
import { goldenModel } from '../support/golden-models.ts'
import { runProgram } from '../support/native-processes.ts'

/** Defines `addon`, `model`, `policy`, `garbage`, `valid` requests and `attempt`. */
const prelude = `
  const { loadAddon } = await lib('native/load-addon.ts')
  const { Model } = await lib('model/model.ts')
  const { Policy } = await lib('model/policy.ts')
  const addon = loadAddon()
  addon.setThreads(1)
  const owner = await Model.load(process.argv[1], { device: 'cpu' })
  const { native: model } = owner
  const { native: policy } = await Policy.lora(owner, { rank: 2 })
  const gone = (await Policy.lora(owner, { rank: 2 })).native
  await gone.dispose()
  const hostile = new Proxy({}, { get() { throw new Error('no') } })
  const fake = (kind) => Object.setPrototypeOf({}, Object.getPrototypeOf(kind))
  const garbage = [
    undefined, null, true, 0, -1, 1.5, NaN, Infinity, 2 ** 60, 10n, '', 'x', Symbol('s'), () => {}, [], [1, 'a', null], {},
    new Date(), /x/, new Map(), new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Float64Array(3), new Int8Array(3),
    new Uint8Array(5), new Int32Array(3), new Float32Array([NaN]), new Uint32Array(2), new BigInt64Array(2),
    Int32Array.of(2 ** 31 - 1, -(2 ** 31)), hostile, { length: 5 }, { toString() { throw new Error('no') } },
    { valueOf() { return {} } }, policy, model, gone, fake(policy), fake(model), addon,
    Object.setPrototypeOf(new addon.CancelFlag(), Object.getPrototypeOf(policy)), Object.create(policy), new Proxy(policy, {}),
    [policy], [{}], [gone], [fake(policy)], [Object.setPrototypeOf(new addon.CancelFlag(), Object.getPrototypeOf(policy))],
  ]
  const tree = () => ({
    parent: Int32Array.of(-1, 0), offset: Int32Array.of(0, 2, 4), ids: Int32Array.of(1, 2, 3, 4), policy: Int32Array.of(0, 0),
  })
  const sampling = () => ({
    temperature: 1, topK: 3, topP: 0.9, minP: 0.1, repetitionPenalty: 1.1, stopIds: Int32Array.of(5), stopStrings: [],
  })
  const valid = {
    generate: () => ({
      tree: tree(), policies: [policy], rowSegment: Int32Array.of(1, 0), rowLimit: Int32Array.of(2, 2),
      rowStream: new Uint32Array(10), sampling: sampling(),
    }),
    logProbs: () => ({ tree: tree(), policies: [policy], scored: Uint8Array.of(0, 1, 1, 1), maxTokensPerMicroBatch: 100 }),
    accumulate: () => ({ ...valid.logProbs(), weights: new Float32Array(4), loss: {} }),
    logits: () => [tree(), [policy], Int32Array.of(1)],
    step: () => ({ learningRate: 0, beta1: 0.9, beta2: 0.9, epsilon: 1e-8, weightDecay: 0, decayAll: false, maxGradNorm: 0, moments: 'float32' }),
  }
  const outcome = { returned: 0, refused: 0, codes: {} }
  const attempt = async (call) => {
    try {
      await call()
      outcome.returned++
    } catch (error) {
      if (!(error instanceof Error)) throw new Error('thrown: ' + String(error))
      outcome.refused++
      outcome.codes[error.code ?? error.name] = (outcome.codes[error.code ?? error.name] ?? 0) + 1
    }
  }
  const finish = async () => {
    // All is as it was: handles still work.
    await model.generate(valid.generate())
    await model.logProbs(valid.logProbs())
    await policy.step(valid.step())
    console.log(JSON.stringify(outcome))
  }
`

async function survives(t: import('ava').ExecutionContext, source: string): Promise<Record<string, number>> {
  const { code, signal, stdout, stderr } = await runProgram(prelude + source, [goldenModel('llama')])
  t.deepEqual({ code, signal }, { code: 0, signal: null }, stderr.slice(-2000))
  const outcome = JSON.parse(stdout) as { returned: number; refused: number; codes: Record<string, number> }
  t.log(`${outcome.refused} refused ${JSON.stringify(outcome.codes)}, ${outcome.returned} accepted`)
  t.true(outcome.refused > 0)
  return outcome.codes
}

test('each argument of each method, replaced by garbage', async (t) => {
  await survives(
    t,
    `
    const methods = [
      [addon, ['info', 'setThreads', 'loadModel', 'liveObjects']],
      [model, ['createPolicy', 'setTokenBytes', 'generate', 'logProbs', 'accumulate', 'logits', 'tensors', 'writeTensors']],
      [policy, ['step', 'zeroGrad', 'tensors', 'writeTensors', 'readTensors']],
    ]
    for (const [object, names] of methods)
      for (const name of names) {
        await attempt(() => object[name]())
        for (const value of garbage) {
          if (typeof value === 'string' && name === 'writeTensors') continue
          await attempt(() => object[name](value))
          await attempt(() => object[name](value, value))
          await attempt(() => object[name](value, value, value))
          if (valid[name]) {
            const request = valid[name]()
            await attempt(() => object[name](...(Array.isArray(request) ? request : [request]), value))
            await attempt(() => object[name](...(Array.isArray(request) ? request : [request]), { cancel: value }))
          }
        }
      }
    for (const value of garbage) {
      await attempt(() => policy.tensors('weights', value))
      await attempt(() => policy.readTensors('weights', value))
      await attempt(() => policy.readTensors('optimizer', [value]))
      await attempt(() => policy.writeTensors('weights', '/nowhere/file', value))
      await attempt(() => policy.writeTensors('weights', '/nowhere/file', new Uint8Array(1)))
      await attempt(() => model.writeTensors('/nowhere/file', value))
      await attempt(() => model.setTokenBytes(Int32Array.of(0, 3), value))
      await attempt(() => model.setTokenBytes(value, new Uint8Array(3)))
      await attempt(() => addon.loadModel({ config: value, dtype: 'float32', device: 'cpu', tensors: [] }))
      await attempt(() => addon.loadModel({ config: {}, dtype: value, device: value, tensors: value }))
    }
    addon.setThreads(1)
    await finish()
  `,
  )
})

test('each field of each request, replaced by garbage', async (t) => {
  await survives(
    t,
    `
    const replaced = (object, path, value) => {
      const copy = Array.isArray(object) ? [...object] : { ...object }
      copy[path[0]] = path.length === 1 ? value : replaced(copy[path[0]], path.slice(1), value)
      return copy
    }
    const paths = {
      generate: [['tree'], ['tree', 'parent'], ['tree', 'offset'], ['tree', 'ids'], ['tree', 'policy'], ['policies'],
        ['rowSegment'], ['rowLimit'], ['rowStream'], ['sampling'], ['sampling', 'temperature'], ['sampling', 'topK'],
        ['sampling', 'topP'], ['sampling', 'minP'], ['sampling', 'repetitionPenalty'], ['sampling', 'stopIds'],
        ['sampling', 'stopStrings'], ['onTokens']],
      logProbs: [['tree'], ['tree', 'parent'], ['policies'], ['scored'], ['maxTokensPerMicroBatch'], ['valueTokens']],
      accumulate: [['tree', 'ids'], ['tree', 'policy'], ['policies'], ['scored'], ['weights'], ['maxTokensPerMicroBatch'],
        ['loss'], ['oldLogProbs'], ['referenceLogProbs'], ['penalties'], ['valueTokens'], ['valueTargets'], ['valueWeights']],
      logits: [[0], [0, 'parent'], [0, 'offset'], [0, 'ids'], [0, 'policy'], [1], [2]],
      step: [['learningRate'], ['beta1'], ['beta2'], ['epsilon'], ['weightDecay'], ['decayAll'], ['maxGradNorm'], ['moments']],
    }
    for (const [name, list] of Object.entries(paths))
      for (const path of list)
        for (const value of garbage) {
          if (name === 'step' && typeof value === 'number') continue
          const request = replaced(valid[name](), path, value)
          const object = name === 'step' ? policy : model
          await attempt(() => object[name](...(Array.isArray(request) ? request : [request])))
        }
    for (const value of garbage) {
      for (const field of ['kind', 'rank', 'scale', 'targets', 'seed'])
        await attempt(async () => {
          const spec = { kind: 'lora', rank: 2, scale: 1, targets: ['q_proj'], seed: 0, [field]: value }
          if (field === 'rank' && value === 2 ** 60) return
          await (await model.createPolicy(spec)).dispose()
        })
      for (const field of ['name', 'file', 'dtype', 'shape', 'begin'])
        await attempt(() => policy.readTensors('weights', [
          { name: 'x', file: '/nowhere', dtype: 'F32', shape: [1], begin: 0, [field]: value },
        ]))
    }
    await finish()
  `,
  )
})

test('trees whose numbers lie', async (t) => {
  const codes = await survives(
    t,
    `
    let state = 12345
    const random = (n) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % n
    const numbers = [-(2 ** 31), -2, -1, 0, 1, 2, 3, 4, 5, 127, 128, 2 ** 31 - 1]
    const any = (length) => Int32Array.from({ length }, () => numbers[random(numbers.length)])
    for (let round = 0; round < 3000; round++) {
      const lying = tree()
      const field = Object.keys(lying)[random(4)]
      lying[field] = random(3) === 0 ? any(random(6)) : lying[field].map((value) => (random(3) === 0 ? any(1)[0] : value))
      await attempt(() => model.generate({ ...valid.generate(), tree: lying, rowSegment: random(2) ? Int32Array.of(1, 0) : any(2) }))
      await attempt(() => model.accumulate({ ...valid.accumulate(), tree: lying, scored: Uint8Array.from(any(4)), weights: Float32Array.from(any(4)) }))
      await attempt(() => model.logits(lying, [policy], any(1)))
    }
    await policy.zeroGrad()
    await finish()
  `,
  )
  for (const code of Object.keys(codes)) t.regex(code, /^ERR_(ARGUMENT|TOKEN_RANGE|EMPTY_PROMPT)$/)
})

test('arrays that change or go away while a job runs, and getters that dispose', async (t) => {
  await survives(
    t,
    `
    for (let round = 0; round < 20; round++) {
      const request = valid.generate()
      const running = model.generate(request)
      request.tree.ids.fill(-7)
      request.rowLimit.fill(-1)
      structuredClone(request.tree.parent.buffer, { transfer: [request.tree.parent.buffer] })
      await attempt(() => running)
      await attempt(() => model.generate(request))
    }
    const other = (await Model.load(process.argv[1], { device: 'cpu' })).native
    const request = { ...valid.logProbs(), policies: [] }
    request.tree.policy.fill(-1)
    Object.defineProperty(request, 'scored', { get() { other.dispose(); return Uint8Array.of(0, 1, 1, 1) } })
    await attempt(() => other.logProbs(request))
    await attempt(() => other.logProbs({ ...valid.logProbs(), policies: [] }))
    await attempt(() => Reflect.construct(model.constructor, []).generate(valid.generate()))
    await attempt(() => Reflect.construct(policy.constructor, []).step(valid.step()))
    await attempt(() => Reflect.construct(policy.constructor, []).dispose())
    await attempt(() => model.generate.call(policy, valid.generate()))
    await attempt(() => policy.step.call({}, valid.step()))
    await attempt(() => model.generate({ ...valid.generate(), policies: [Reflect.construct(policy.constructor, [])] }))
    await finish()
  `,
  )
})
