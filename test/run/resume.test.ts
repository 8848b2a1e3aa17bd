import { existsSync, statSync } from 'node:fs'
import { appendFile, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import type { RunSink } from '../../lib/rl/types/sink.ts'
import { complementTask, isComplement } from '../rl/support/toy-task.ts'
import { CrashPictures, exhaust, memoryFolder, outcomeOf, tableRun } from './support/table-run.ts'

/** A run that nothing interrupts. */
async function uninterrupted(t: ExecutionContext) {
  const root = await memoryFolder(t)
  const path = join(root, 'whole')
  await exhaust((await tableRun(path)).run)
  return { root, path, outcome: outcomeOf(path) }
}

/** A run that is killed after so many steps, without a word, when its last checkpoint is on the disk. */
async function killedAfter(path: string, steps: number, pictures: CrashPictures): Promise<string> {
  const { run } = await tableRun(path)
  const last = join(path, `checkpoints/step-${Math.floor(steps / 3) * 3}`)
  for await (const step of run) {
    if (step.index < steps) continue
    while (steps >= 3 && !existsSync(last)) await sleep(5)
    pictures.take()
    break
  }
  return pictures.paths.at(-1)!
}

const checkpointsOf = async (path: string) => (await readdir(join(path, 'checkpoints'))).sort()

test('a run killed at any turn of the event loop comes to the same bytes', async (t) => {
  const { root, outcome } = await uninterrupted(t)
  const path = join(root, 'run')
  const pictures = new CrashPictures(path, root)
  const { run } = await tableRun(path)
  let isOver = false
  let turn = 0
  const watch = () => {
    if (isOver) return
    if (turn++ % 5 === 0) pictures.take()
    setImmediate(watch)
  }
  const driven = exhaust(run).finally(() => {
    isOver = true
  })
  setImmediate(watch)
  await driven
  t.deepEqual(outcomeOf(path), outcome)
  t.true(pictures.paths.length > 30, `${pictures.paths.length} pictures`)
  const begun = new Set<number>()
  let inside = 0
  for (const picture of pictures.paths) {
    if (existsSync(join(picture, 'checkpoints')))
      inside += (await readdir(join(picture, 'checkpoints'))).filter((name) => name.endsWith('.writing')).length
    const resumed = await tableRun(picture, { resume: true })
    let first = 12
    for await (const step of resumed.run) first = Math.min(first, step.index)
    begun.add(first)
    t.deepEqual(outcomeOf(picture), outcome, picture)
    await rm(picture, { recursive: true })
  }
  t.true(inside > 0, 'no picture was taken inside a checkpoint write')
  t.true(begun.has(1) && begun.size > 2, `resumed at ${[...begun]}`)
})

test('a run that is stopped and resumed again and again comes to the same bytes', async (t) => {
  const { root, outcome } = await uninterrupted(t)
  const path = join(root, 'run')
  for (let stop = 1; stop <= 11; stop++) {
    const { run } = await tableRun(path, { resume: stop > 1 })
    for await (const step of run) if (step.index === stop) run.stop()
  }
  await exhaust((await tableRun(path, { resume: true })).run)
  t.deepEqual(outcomeOf(path), outcome)
})

test('a run that is stopped between a step and its evaluation has the evaluation when it goes on', async (t) => {
  const { root, outcome } = await uninterrupted(t)
  const path = join(root, 'run')
  const stopper: RunSink = { onStep: ({ index }) => (index === 4 ? stop() : undefined) }
  const { run } = await tableRun(path, { sinks: [stopper] })
  const stop = () => run.stop()
  await exhaust(run)
  t.false(existsSync(join(path, 'lock.json')))
  await exhaust((await tableRun(path, { resume: true })).run)
  t.deepEqual(outcomeOf(path), outcome)
})

test('a verdict is never asked for twice', async (t) => {
  const root = await memoryFolder(t)
  const path = join(root, 'run')
  const pictures = new CrashPictures(path, root)
  let given = 0
  // No two verdicts are equal, as those of a judge that has moods.
  const moody = () => complementTask({ reward: (_, joint) => Number(isComplement(joint)) + ++given / 1000 })
  const asked = () => given
  const { run } = await tableRun(path, { train: { task: moody() } })
  for await (const step of run) if (step.index === 5) pictures.take()
  const total = asked()
  const whole = outcomeOf(path)
  const picture = pictures.paths[0]!
  const before = (await readFile(join(picture, 'rewards.jsonl'), 'utf8')).trimEnd().split('\n').length
  await appendFile(join(picture, 'rewards.jsonl'), '{"place":"train/6/0/0')
  given = before
  const resumed = await tableRun(picture, { resume: true, train: { task: moody() } })
  await exhaust(resumed.run)
  t.is(asked(), total)
  t.deepEqual(outcomeOf(picture), whole)
})

test('metrics of what a reward noted come back with its verdict', async (t) => {
  const root = await memoryFolder(t)
  const path = join(root, 'run')
  const task = () => {
    const noted = new Map<string, number>()
    return complementTask({
      reward: (_, joint) => {
        noted.set(String(joint.map(({ ids }) => ids)), joint[0]!.ids[0]!)
        return Number(isComplement(joint))
      },
      metrics: (_, joint): Record<string, number> => {
        const first = noted.get(String(joint.map(({ ids }) => ids)))
        return first === undefined ? {} : { first, not_finite: Number.NaN }
      },
    })
  }
  const pictures = new CrashPictures(path, root)
  const { run } = await tableRun(path, { train: { task: task() } })
  for await (const step of run) if (step.index === 5) pictures.take()
  const whole = outcomeOf(path)
  t.regex(await readFile(join(path, 'metrics.jsonl'), 'utf8'), /task\/first/)
  await exhaust((await tableRun(pictures.paths[0]!, { resume: true, train: { task: task() } })).run)
  t.deepEqual(outcomeOf(pictures.paths[0]!), whole)
})

test('rewards that abstained, and retries, are remembered as such', async (t) => {
  const root = await memoryFolder(t)
  const path = join(root, 'run')
  let calls = 0
  const task = complementTask({
    reward: (_, joint) => {
      calls++
      return { total: joint[0]!.text === 'a' ? null : Number(isComplement(joint)), parts: {}, retries: 1 }
    },
  })
  const pictures = new CrashPictures(path, root)
  const { run } = await tableRun(path, { train: { task } })
  for await (const step of run) if (step.index === 5) pictures.take()
  const whole = outcomeOf(path)
  t.regex(await readFile(join(path, 'metrics.jsonl'), 'utf8'), /"reward\/abstained_share":0\.\d.*"reward\/retries":\d/)
  t.regex(await readFile(join(path, 'samples.jsonl'), 'utf8'), /"reward":null/)
  const picture = pictures.paths[0]!
  const known = (await readFile(join(picture, 'rewards.jsonl'), 'utf8')).trimEnd().split('\n').length
  const all = calls
  calls = 0
  await exhaust((await tableRun(picture, { resume: true, train: { task } })).run)
  t.deepEqual(outcomeOf(picture), whole)
  t.is(calls, all - known)
})

test('episodes of several turns are gone on with, verdict by verdict', async (t) => {
  const root = await memoryFolder(t)
  let calls = 0
  const task = () =>
    complementTask({
      reward: (_, joint) => Number(isComplement(joint)) + ++calls / 1000,
      transition: (item) => ({ prompts: [String(1 - item.prompt), String(item.prompt)] }),
    })
  const options = () => ({ train: { task: task(), algorithm: magrpo({ turns: 2, groupSize: 2 }), promptsPerStep: 2 } })
  const path = join(root, 'run')
  const pictures = new CrashPictures(path, root)
  const { run, engine } = await tableRun(path, options())
  let generated = 0
  engine.hooks.onGenerate = () => {
    // In the middle of the run, as a turn begins.
    if (++generated === pictureAt) pictures.take()
  }
  const pictureAt = 20
  await exhaust(run)
  const total = calls
  const picture = pictures.paths[0]!
  calls = (await readFile(join(picture, 'rewards.jsonl'), 'utf8')).trimEnd().split('\n').length
  t.true(calls > 20 && calls < total)
  await exhaust((await tableRun(picture, { resume: true, ...options() })).run)
  t.is(calls, total)
  t.deepEqual(outcomeOf(picture), outcomeOf(path))
})

test('another completion in the same place gets a verdict of its own', async (t) => {
  const root = await memoryFolder(t)
  const path = join(root, 'run')
  await killedAfter(path, 2, new CrashPictures(path, root))
  const picture = join(root, 'picture-0')
  const log = await readFile(join(picture, 'rewards.jsonl'), 'utf8')
  await writeFile(join(picture, 'rewards.jsonl'), log.replaceAll(/"of":"[^"]*"/g, '"of":"another"'))
  let calls = 0
  const reward = (_: unknown, joint: Parameters<typeof isComplement>[0]) => {
    calls++
    return Number(isComplement(joint))
  }
  const task = complementTask({ reward })
  const { run } = await tableRun(picture, { resume: true, train: { task } })
  for await (const step of run) if (step.index === 1) break
  t.true(calls >= 4)
})

test('training goes on while a checkpoint is written, and waits before the next one', async (t) => {
  const root = await memoryFolder(t)
  await exhaust((await tableRun(join(root, 'whole'))).run)
  let finish = () => {}
  const held = new Promise<void>((resolve) => {
    finish = resolve
  })
  const written: string[] = []
  const hold = async (directory: string) => {
    if (directory.includes('step-3')) await held
    written.push(directory)
  }
  const { run } = await tableRun(join(root, 'run'), {
    hold,
    recorder: { checkpointEvery: 3 },
    train: { keepBest: false },
  })
  for await (const step of run) {
    // A run that waited for the third step's checkpoint would never come here.
    if (step.index === 5) {
      t.deepEqual(written, [])
      t.false(existsSync(join(root, 'run/checkpoints/step-3')))
      finish()
    }
  }
  t.is(written.length, 4)
  t.deepEqual(await checkpointsOf(join(root, 'run')), ['step-11', 'step-9'])
})

test('a checkpoint that cannot be written ends the run with its error, and leaves the ones before', async (t) => {
  const path = join(await memoryFolder(t), 'run')
  const hold = async (directory: string) => {
    if (directory.includes('step-6')) throw new MagrpoError('ERR_RUN', 'no room')
  }
  const { run } = await tableRun(path, { hold, train: { keepBest: false } })
  const error = await t.throwsAsync(exhaust(run), { instanceOf: MagrpoError })
  t.is(error.message, 'no room')
  const result = JSON.parse(await readFile(join(path, 'result.json'), 'utf8')) as { reason: string; error: object }
  t.is(result.reason, 'failed')
  t.deepEqual(result.error, { code: 'ERR_RUN', message: 'no room' })
  t.true((await checkpointsOf(path)).includes('step-3'))
  t.false((await checkpointsOf(path)).some((name) => name.includes('step-6')))
})

test('the last checkpoints and the best are kept', async (t) => {
  const { path } = await uninterrupted(t)
  const { best } = JSON.parse(await readFile(join(path, 'result.json'), 'utf8')) as { best: { step: number } }
  const expected = [...new Set([best.step, 9, 11])].filter((step) => step > 0).map((step) => `step-${step}`)
  t.deepEqual(await checkpointsOf(path), expected.sort())
})

test('checkpointEvery 0 leaves those of the end and of the best evaluation', async (t) => {
  const path = join(await memoryFolder(t), 'run')
  await exhaust((await tableRun(path, { recorder: { checkpointEvery: 0 }, train: { evalEvery: 0 } })).run)
  t.deepEqual(await checkpointsOf(path), ['step-11'])
})

/** Damages the newest checkpoint of a run that was killed after 8 steps, and resumes it. */
async function resumeDamaged(t: ExecutionContext, damage: (checkpoint: string) => Promise<unknown>) {
  const { root, outcome } = await uninterrupted(t)
  const path = join(root, 'run')
  const picture = await killedAfter(path, 8, new CrashPictures(path, root))
  await damage(join(picture, 'checkpoints/step-6'))
  const warnings: string[] = []
  const options = { resume: true, recorder: { onWarning: (message: string) => warnings.push(message) } }
  const { run } = await tableRun(picture, options)
  let first = 0
  for await (const step of run) first ||= step.index
  t.deepEqual(outcomeOf(picture), outcome)
  return { picture, warnings, first }
}

const damages: Record<string, [(checkpoint: string) => Promise<unknown>, RegExp]> = {
  'a flipped bit': [
    async (checkpoint) => {
      const file = join(checkpoint, 'policy-1.json')
      const bytes = await readFile(file)
      bytes[bytes.length - 5]! ^= 1
      await writeFile(file, bytes)
    },
    /checksum of policy-1\.json is wrong/,
  ],
  'a short file': [(checkpoint) => truncate(join(checkpoint, 'policy-0.json'), 10), /has 10 bytes instead of/],
  'a missing file': [(checkpoint) => rm(join(checkpoint, 'policy-0.json')), /policy-0\.json is missing/],
  'a missing manifest': [(checkpoint) => rm(join(checkpoint, 'manifest.json')), /manifest\.json is missing/],
  'half a manifest': [(checkpoint) => truncate(join(checkpoint, 'manifest.json'), 20), /manifest\.json is not JSON/],
  'a state of another run': [
    (checkpoint) => writeFile(join(checkpoint, 'state.json'), '{}'),
    /state\.json has 2 bytes/,
  ],
}

for (const [name, [damage, expected]] of Object.entries(damages)) {
  test(`${name}: the checkpoint before is used, with a warning, and nothing is thrown away`, async (t) => {
    const { picture, warnings, first } = await resumeDamaged(t, damage)
    t.is(warnings.length, 1)
    t.regex(warnings[0]!, expected)
    t.regex(warnings[0]!, /goes on from step 3 instead/)
    t.is(first, 4)
    t.true((await checkpointsOf(picture)).includes('step-6.damaged'))
  })
}

test('no whole checkpoint is an error that says so, not a fresh start', async (t) => {
  const root = await memoryFolder(t)
  const path = join(root, 'run')
  const picture = await killedAfter(path, 5, new CrashPictures(path, root))
  for (const name of await checkpointsOf(picture))
    await rm(join(picture, 'checkpoints', name, 'manifest.json'), { force: true })
  const before = await readFile(join(picture, 'metrics.jsonl'))
  const { run } = await tableRun(picture, { resume: true })
  const error = await t.throwsAsync(exhaust(run), { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_CHECKPOINT')
  t.regex(error.message, /step-\d+: manifest\.json is missing/)
  t.deepEqual(await readFile(join(picture, 'metrics.jsonl')), before)
  t.false(existsSync(join(picture, 'lock.json')))
})

test('other options or data than those it began with are an error that names them', async (t) => {
  const root = await memoryFolder(t)
  const path = join(root, 'run')
  const picture = await killedAfter(path, 5, new CrashPictures(path, root))
  const refuse = async (train: object, expected: RegExp) => {
    const { run } = await tableRun(picture, { resume: true, train })
    const error = await t.throwsAsync(exhaust(run), { instanceOf: MagrpoError })
    t.is(error.code, 'ERR_CHECKPOINT')
    t.regex(error.message, expected)
  }
  await refuse({ steps: 12 }, /\n {2}steps: 11, now 12$/)
  await refuse({ optimizer: { learningRate: 2 } }, /optimizer: .*"learningRate":1,.* now .*"learningRate":2,/)
  await refuse({ task: complementTask({ items: [{ prompt: 1 }, { prompt: 0 }] }) }, /the task's items/)
  await t.notThrowsAsync(async () =>
    exhaust((await tableRun(picture, { resume: true, train: { rewardConcurrency: 3 } })).run),
  )
})

test('a corrupt line of metrics is an error that names it, and nothing is cut', async (t) => {
  const { root, outcome } = await uninterrupted(t)
  const path = join(root, 'run')
  const picture = await killedAfter(path, 8, new CrashPictures(path, root))
  const file = join(picture, 'metrics.jsonl')
  const lines = (await readFile(file, 'utf8')).split('\n')
  // The lines of steps 0, 1, 2, 2, 3, 4, 4, 5: the eighth is after the checkpoint of step 3 and before that of step 6.
  const good = lines[7]!
  lines[7] = `x${good.slice(1)}`
  await writeFile(file, lines.join('\n'))
  const error = await t.throwsAsync(exhaust((await tableRun(picture, { resume: true })).run), {
    instanceOf: MagrpoError,
  })
  t.is(error.code, 'ERR_DATA')
  t.regex(error.message, /^Line 8 of .*metrics\.jsonl is not JSON/)
  t.deepEqual(error.details, { file, line: 8 })
  t.is(await readFile(file, 'utf8'), lines.join('\n'))
  // What the message says helps.
  await rm(join(picture, 'checkpoints/step-6'), { recursive: true })
  await exhaust((await tableRun(picture, { resume: true })).run)
  t.deepEqual(outcomeOf(picture), outcome)
})

test('lines that were removed are an error', async (t) => {
  const root = await memoryFolder(t)
  const path = join(root, 'run')
  const picture = await killedAfter(path, 8, new CrashPictures(path, root))
  await truncate(join(picture, 'samples.jsonl'), 100)
  const error = await t.throwsAsync(exhaust((await tableRun(picture, { resume: true })).run), {
    instanceOf: MagrpoError,
  })
  t.is(error.code, 'ERR_RUN')
  t.regex(error.message, /samples\.jsonl, as the checkpoint has it, but it has \d+/)
})

test('a finished run has no step left and stays as it is', async (t) => {
  const { path, outcome } = await uninterrupted(t)
  const { run } = await tableRun(path, { resume: true })
  for await (const _ of run) t.fail('a step')
  t.deepEqual(outcomeOf(path), outcome)
  t.is((await run.result).reason, 'finished')
})

test('a run that failed in its reward goes on from the step before', async (t) => {
  const { root, outcome } = await uninterrupted(t)
  const path = join(root, 'run')
  let calls = 0
  const reward = (_: unknown, joint: Parameters<typeof isComplement>[0]) => {
    if (++calls === 40) throw new Error('the judge is out')
    return { total: Number(isComplement(joint)), parts: { left_a: Number(joint[0]?.text === 'a') } }
  }
  const { run } = await tableRun(path, {
    train: { task: complementTask({ reward }) },
    recorder: { checkpointEvery: 0 },
  })
  await t.throwsAsync(exhaust(run), { message: /the judge is out/ })
  const asked = calls
  const failed = JSON.parse(await readFile(join(path, 'result.json'), 'utf8')) as { steps: number }
  t.true((await checkpointsOf(path)).includes(`step-${failed.steps}`))
  const { run: again } = await tableRun(path, { resume: true, train: { task: complementTask({ reward }) } })
  let first = 0
  for await (const step of again) first ||= step.index
  t.is(first, failed.steps + 1)
  t.true(calls > asked)
  t.deepEqual(outcomeOf(path), outcome)
})

test('a run that is stopped before its first step leaves the checkpoint it went on from as it is', async (t) => {
  const path = join(await memoryFolder(t), 'run')
  const { run } = await tableRun(path)
  for await (const step of run) if (step.index === 5) run.stop()
  const manifest = join(path, 'checkpoints/step-5/manifest.json')
  const { ino } = statSync(manifest)
  let stop = () => {}
  const again = await tableRun(path, { resume: true, sinks: [{ onStart: () => stop() }] })
  stop = () => again.run.stop()
  await exhaust(again.run)
  t.is(statSync(manifest).ino, ino)
})
