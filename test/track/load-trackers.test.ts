import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { ConfigError } from '../../lib/base/errors.ts'
import { resolveConfig } from '../../lib/config/load.ts'
import { parseSetting } from '../../lib/config/set-paths.ts'
import { loadTrackers } from '../../lib/track/load-trackers.ts'
import { trackerRegistry } from '../../lib/track/names.ts'
import { tensorBoard } from '../../lib/track/tensorboard.ts'
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
  const { trackers } = resolveConfig(config(['tensorboard', { module, options: { key: 'k' } }, module]))
  t.deepEqual(trackers[2], { module })
  const loaded = await loadTrackers(trackers)
  t.deepEqual(
    loaded.map(({ name }) => name),
    ['tensorboard', module, module],
  )
  t.throws(() => loaded[1]!.end(fakeEnd), { message: 'k 1' })
  t.deepEqual(resolveConfig({ ...config(undefined) }).trackers, [])
})

test('a built-in tracker has options with defaults, in the file and by --set', (t) => {
  const trackersOf = (given: unknown, ...settings: string[]) =>
    resolveConfig(config(given), { settings: settings.map(parseSetting) }).trackers
  const standard = { name: 'tensorboard', options: { sampleEvery: 10 } }
  t.deepEqual(trackersOf(['tensorboard']), [standard])
  t.deepEqual(trackersOf([{ name: 'tensorboard' }]), [standard])
  const own = { name: 'tensorboard', options: { folder: 'boards', sampleEvery: 0 } }
  t.deepEqual(trackersOf([{ name: 'tensorboard', folder: 'boards', sampleEvery: 0 }]), [own])
  t.deepEqual(trackersOf([{ name: 'tensorboard', folder: 'boards' }], 'trackers.0.sampleEvery=0'), [own])
  t.deepEqual(trackersOf(undefined, 'trackers=[tensorboard]'), [standard])
  for (const { about } of Object.values(trackerRegistry)) t.regex(about, /[^.]$/)
})

for (const [what, trackers, message] of [
  [
    'a name that is near a known one',
    ['tensorbord'],
    /trackers\.0\.name: unknown tracker "tensorbord"; did you mean "t/,
  ],
  [
    'a name that is near none',
    ['tensorboard', { name: 'x' }],
    /trackers\.1\.name: unknown tracker "x"; known: tensorb/,
  ],
  ['no name', [{ sampleEvery: 1 }], /trackers\.0\.name: missing; expected one of tensorboard \(or "module"/],
  ['a module as name', [{ name: './own.ts' }], /trackers\.0\.name: expected a built-in tracker; give a module/],
  ['an unknown option', [{ name: 'tensorboard', sampleEvry: 1 }], /trackers\.0\.sampleEvry: .* "sampleEvery"\?/],
  [
    'a value out of range',
    [{ name: 'tensorboard', sampleEvery: -1 }],
    /trackers\.0\.sampleEvery: .*from 0 up; received -1/,
  ],
  ['a module with another key', [{ module: 'own.ts', option: 1 }], /trackers\.0\.option: .* "options"\?/],
  ['a number', [3], /trackers\.0: expected text, or expected an object; received 3/],
  ['no list', 'tensorboard', /trackers: expected a list/],
] as const)
  test(`refused: ${what}`, (t) => {
    t.throws(() => resolveConfig(config(trackers)), { instanceOf: ConfigError, message })
  })

test('options are checked in a program too', (t) => {
  t.throws(() => tensorBoard({ sampleEvery: 0.5 }), { code: 'ERR_CONFIG', message: /tensorboard.*sampleEvery: /s })
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
