/** In a worker thread: native work of the kind that `workerData` names, without an end; says `on` when it is under way. */
import './other-addon.ts'
import { parentPort, workerData } from 'node:worker_threads'
import { Model, modelFolder, Policy } from '../../lib/index.ts'

const folder = modelFolder('builtin:mini-code')
const model = await Model.load(folder, { device: 'cpu' })
const completions = [{ ids: new Int32Array(60).fill(3), weights: new Float32Array(60).fill(1e-3) }]
const generate = (policy: Policy, onTokens?: () => void) =>
  policy.generate(['def add'], { count: 8, maxNewTokens: 400, stopIds: [], onTokens })
const on = () => parentPort!.postMessage('on')

/** Each goes on until the thread is ended. */
const works: Record<string, () => Promise<unknown>> = {
  async load() {
    on()
    for (;;) await (await Model.load(folder, { device: 'cpu' })).dispose()
  },
  async train() {
    const policy = await Policy.full(model)
    on()
    for (;;) {
      await policy.accumulate([{ promptIds: Int32Array.of(1), completions }])
      await policy.step({ learningRate: 1e-6 })
    }
  },
  async generate() {
    for (;;) await generate(Policy.base(model), on)
  },
  async dispose() {
    const policy = await Policy.lora(model)
    const queued = [generate(policy), generate(Policy.base(model)), policy.dispose(), model.dispose()]
    on()
    await Promise.all(queued)
    await new Promise(() => setInterval(() => {}, 1000))
  },
}
await works[workerData as string]!()
