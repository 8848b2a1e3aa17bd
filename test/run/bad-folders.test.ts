/** Run folders that cannot be worked with: clear errors, and nothing lost. */
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { type ErrorCode, MagrpoError } from '../../lib/base/errors.ts'
import { renderReport } from '../../lib/report/report.ts'
import { exportWeights } from '../../lib/run/export.ts'
import { RunFolder } from '../../lib/run/run-folder.ts'
import { readRunInfo, runFormat } from '../../lib/run/run-info.ts'
import { skipBecause } from '../support/skip.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { exhaust, outcomeOf, tableRun } from './support/table-run.ts'

/** Mounts a small file system in memory; false, after saying so, where that is not allowed. */
function mountSmall(t: ExecutionContext, path: string, size: string): boolean {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', path], { encoding: 'utf8' })
  if (mounted.status === 0) {
    t.teardown(() => spawnSync('umount', ['-l', path]))
    return true
  }
  skipBecause(t, `a tmpfs cannot be mounted here (${mounted.stderr || mounted.error?.message})`)
  return false
}

async function refused(t: ExecutionContext, work: Promise<unknown>, code: ErrorCode): Promise<MagrpoError> {
  const error = await t.throwsAsync(work, { instanceOf: MagrpoError })
  t.is(error.code, code)
  return error
}

test('a full disk ends the run with an error that says so; with space again it goes on to the same bytes', async (t) => {
  const root = await temporaryFolder(t)
  await exhaust((await tableRun(join(root, 'whole'))).run)
  const disk = join(root, 'disk')
  await mkdir(disk)
  if (!mountSmall(t, disk, '1m')) return
  const path = join(disk, 'run')
  const { run } = await tableRun(path)
  const ballast = join(disk, 'ballast')
  const work = async () => {
    for await (const step of run) {
      if (step.index !== 5) continue
      while (!existsSync(join(path, 'checkpoints/step-3'))) await sleep(5)
      const filled = spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4k'], { encoding: 'utf8' })
      t.regex(filled.stderr, /No space left/)
    }
  }
  const error = await refused(t, work(), 'ERR_RUN')
  t.regex(error.message, /cannot be written: .*(ENOSPC|[Nn]o space left)/)
  const checkpoints = await readdir(join(path, 'checkpoints'))
  t.deepEqual(
    checkpoints.filter((name) => !/^step-\d+$/.test(name)),
    [],
  )
  t.true(checkpoints.includes('step-3'))
  await rm(ballast)
  await exhaust((await tableRun(path, { resume: true })).run)
  t.deepEqual(outcomeOf(path), outcomeOf(join(root, 'whole')))
})

test('a full disk at the start leaves an error and no lock', async (t) => {
  const disk = await temporaryFolder(t)
  if (!mountSmall(t, disk, '64k')) return
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(4096))
  spawnSync('dd', ['if=/dev/zero', `of=${join(disk, 'ballast')}`, 'bs=4k'])
  const error = await refused(t, RunFolder.create(join(disk, 'run')), 'ERR_RUN')
  t.regex(error.message, /cannot be written/)
})

test('a read-only run folder is an error that names it, and nothing is changed', async (t) => {
  const disk = await temporaryFolder(t)
  if (!mountSmall(t, disk, '2m')) return
  const path = join(disk, 'run')
  await exhaust((await tableRun(path)).run)
  const remounted = spawnSync('mount', ['-o', 'remount,ro', disk], { encoding: 'utf8' })
  t.is(remounted.status, 0, remounted.stderr)
  const error = await refused(t, RunFolder.resume(path), 'ERR_RUN')
  t.true(error.message.includes(path))
  t.regex(error.message, /cannot be written: .*(EROFS|read-only)/)
  await refused(t, RunFolder.create(join(disk, 'other')), 'ERR_RUN')
})

test('a run folder of a newer version is refused by its version, and nothing is changed', async (t) => {
  const path = join(await temporaryFolder(t), 'run')
  await exhaust((await tableRun(path)).run)
  const info = { ...(await readRunInfo(path)), format: runFormat + 1, magrpo: '9.1.0' }
  await writeFile(join(path, 'run.json'), JSON.stringify(info))
  const outcome = outcomeOf(path)
  const error = await refused(t, RunFolder.resume(path), 'ERR_RUN_VERSION')
  t.true(error.message.includes(`of magrpo 9.1.0 (format ${runFormat + 1})`))
  t.regex(error.message, new RegExp(`up to ${runFormat}`))
  await refused(t, renderReport(path), 'ERR_RUN_VERSION')
  await refused(t, exportWeights(path, { out: join(path, 'out') }), 'ERR_RUN_VERSION')
  t.deepEqual(outcomeOf(path), outcome)
  t.false(existsSync(join(path, 'lock.json')))
})

test('a folder that holds no run is an error that says what is missing', async (t) => {
  const root = await temporaryFolder(t)
  const missing = await refused(t, RunFolder.resume(join(root, 'nowhere')), 'ERR_RUN')
  t.regex(missing.message, /it has no run\.json/)
  await writeFile(join(root, 'run.json'), '{"format":')
  t.regex((await refused(t, RunFolder.resume(root), 'ERR_RUN')).message, /run\.json is not JSON/)
  await writeFile(join(root, 'run.json'), '{}')
  t.regex((await refused(t, RunFolder.resume(root), 'ERR_RUN')).message, /no number of a format/)
})

test('two runs on one folder: the second is refused with the first one named, which goes on undisturbed', async (t) => {
  const root = await temporaryFolder(t)
  await exhaust((await tableRun(join(root, 'whole'))).run)
  const path = join(root, 'run')
  const { run } = await tableRun(path)
  for await (const step of run) {
    if (step.index !== 5) continue
    for (const work of [RunFolder.resume(path), RunFolder.create(path)]) {
      const { details } = await refused(t, work, 'ERR_RUN_LOCKED')
      t.is(details.pid, process.pid)
    }
  }
  t.deepEqual(outcomeOf(path), outcomeOf(join(root, 'whole')))
})

test('a folder that a killed process had only begun is taken', async (t) => {
  const path = join(await temporaryFolder(t), 'run')
  await mkdir(path)
  const dead = { pid: 2 ** 22 + 1, host: (await import('node:os')).hostname(), since: '', process: null, id: 'dead' }
  await writeFile(join(path, 'lock.json'), JSON.stringify(dead))
  await writeFile(join(path, 'run.json.writing'), '{"for')
  await exhaust((await tableRun(path)).run)
  t.is((JSON.parse(await readFile(join(path, 'result.json'), 'utf8')) as { reason: string }).reason, 'finished')
})
