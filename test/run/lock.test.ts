import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { type LockOwner, lockOwner, RunLock } from '../../lib/base/file-lock.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const lockIn = async (t: ExecutionContext) => join(await temporaryFolder(t), 'lock.json')

async function refused(t: ExecutionContext, path: string): Promise<MagrpoError> {
  const error = await t.throwsAsync(RunLock.take(path), { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_RUN_LOCKED')
  return error
}

/** A process that takes a lock and keeps it until it is killed. */
async function holder(t: ExecutionContext, path: string): Promise<ChildProcess> {
  const module = new URL('../../lib/base/file-lock.ts', import.meta.url)
  const code = `import { RunLock } from '${module}'; await RunLock.take('${path}'); console.log('held'); setInterval(() => {}, 1e6)`
  const tsx = import.meta.resolve('tsx')
  const child = spawn(process.execPath, [`--import=${tsx}`, '--input-type=module', '-e', code])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  return child
}

async function write(path: string, owner: Partial<LockOwner>): Promise<void> {
  const whole = { pid: 1, host: hostname(), since: '2026-01-01T00:00:00.000Z', process: null, id: 'other', ...owner }
  await writeFile(path, JSON.stringify(whole))
}

test("a living process's lock is refused, naming it; once it is dead the lock is taken over", async (t) => {
  const path = await lockIn(t)
  const child = await holder(t, path)
  t.is((await lockOwner(path))?.pid, child.pid)
  const error = await refused(t, path)
  t.is(error.details.pid, child.pid)
  t.is(error.details.host, hostname())
  t.regex(error.message, new RegExp(`process ${child.pid} on ${hostname()}, since \\d{4}-\\d\\d-\\d\\dT`))
  child.kill('SIGKILL')
  await once(child, 'exit')
  t.is(await lockOwner(path), undefined)
  const lock = await RunLock.take(path)
  t.is((await lockOwner(path))?.pid, process.pid)
  await lock.release()
  t.is(await lockOwner(path), undefined)
})

test('the same process cannot hold a lock twice', async (t) => {
  const path = await lockIn(t)
  const lock = await RunLock.take(path)
  t.is((await refused(t, path)).details.pid, process.pid)
  await lock.release()
  await lock.release()
  await (await RunLock.take(path)).release()
})

test("another process with a dead one's number does not hold its lock", async (t) => {
  const path = await lockIn(t)
  await write(path, { pid: process.pid, process: 'boot 12' })
  await (await RunLock.take(path)).release()
  await write(path, { pid: process.pid, process: null })
  await refused(t, path)
})

test('of a process on another machine nothing is known: its lock stands, and the message says what to remove', async (t) => {
  const path = await lockIn(t)
  await write(path, { host: 'elsewhere' })
  t.true((await refused(t, path)).message.includes(`remove ${path}`))
})

test('a lock file that says nothing is of a dead process', async (t) => {
  const path = await lockIn(t)
  for (const text of ['', '{"pid', 'null', '{}']) {
    await writeFile(path, text)
    await (await RunLock.take(path)).release()
  }
  t.pass()
})

test('a lock file that cannot be read is an error, not a wait without end', async (t) => {
  const path = await lockIn(t)
  await symlink(join(path, '../nowhere'), path)
  const error = await t.throwsAsync(RunLock.take(path), { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_RUN')
})

test('of many who want the lock of a dead process one gets it, and nothing is left behind', async (t) => {
  const path = await lockIn(t)
  await write(path, { pid: 2 ** 22 + 1 })
  const settled = await Promise.allSettled(Array.from({ length: 20 }, () => RunLock.take(path)))
  const locks = settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  t.is(locks.length, 1)
  const owner = JSON.parse(await readFile(path, 'utf8')) as LockOwner
  t.is(owner.pid, process.pid)
  t.deepEqual(await readdir(join(path, '..')), ['lock.json'])
})

test("release leaves somebody else's lock alone", async (t) => {
  const path = await lockIn(t)
  const lock = await RunLock.take(path)
  await write(path, { id: 'somebody else' })
  await lock.release()
  t.is((JSON.parse(await readFile(path, 'utf8')) as LockOwner).id, 'somebody else')
})
