import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { resolveConfig } from '../../lib/config/load.ts'
import { loadTrackers } from '../../lib/track/load-trackers.ts'
import { rejectsWith } from '../support/errors.ts'
import { fakeEnd } from '../support/fake-reports.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const config = (trackers: unknown) => ({
  team: { model: 'builtin:mini-code' },
  task: 'mini-code',
  optimizer: { learningRate: 1e-3 },
  steps: 1,
  trackers,
})

test('a configuration names trackers, or modules with options', async (t) => {
  const module = join(await temporaryFolder(t), 'own.mjs')
  await writeFile(
    module,
    `export default (options) => new Own(options)
     class Own {
       #ends = 0
       constructor(options) { this.options = options }
       start() {}
       step() {}
       evaluation() {}
       end() { throw new Error(this.options.key + ' ' + ++this.#ends) }
     }`,
  )
  const { trackers } = resolveConfig(config(['tensorboard', { module, options: { key: 'k' } }]))
  const loaded = await loadTrackers(trackers)
  t.deepEqual(
    loaded.map(({ name }) => name),
    ['tensorboard', module],
  )
  t.throws(() => loaded[1]!.end(fakeEnd), { message: 'k 1' })
  t.deepEqual(resolveConfig({ ...config(undefined) }).trackers, [])
})

test('a name that is not known is answered with the nearest', (t) => {
  t.throws(() => resolveConfig(config(['tensorbord'])), { message: /trackers\.0.*/s })
})

test('modules without a tracker are refused by name', async (t) => {
  const folder = await temporaryFolder(t)
  const half = join(folder, 'half.mjs')
  await writeFile(half, 'export const tracker = { start() {}, step() {} }')
  await rejectsWith(
    t,
    () => loadTrackers([{ module: half }]),
    'ERR_CONFIG',
    /half\.mjs: its tracker has no evaluation, no end/,
  )
  const none = join(folder, 'none.mjs')
  await writeFile(none, 'export default 3')
  await rejectsWith(t, () => loadTrackers([{ module: none }]), 'ERR_CONFIG', /expected a tracker/)
  await rejectsWith(t, () => loadTrackers([{ module: join(folder, 'gone.mjs') }]), 'ERR_CONFIG', /cannot be read/)
})
