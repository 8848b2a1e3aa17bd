import test from 'ava'
import { Disposer } from '../../lib/base/disposer.ts'

test('everything is freed once, the newest first, also after a failure', async (t) => {
  const freed: string[] = []
  const failure = new Error('it is stuck')
  const disposer = new Disposer()
  const thing = { dispose: async () => void freed.push('thing') }
  t.is(disposer.use(thing), thing)
  disposer.defer(() => Promise.reject(failure))
  disposer.defer(async () => {
    await new Promise((resolve) => setImmediate(resolve))
    freed.push('newest')
  })
  await t.throwsAsync(disposer.dispose(), { is: failure })
  await disposer.dispose()
  t.deepEqual(freed, ['newest', 'thing'])
})
