import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { explainFailure, findPython } from '../../lib/sandbox/command.ts'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { skipBecause } from '../support/skip.ts'

const honest = { program: 'def f(x):\n    return 2 * x\n', entryPoint: 'f', tests: 'assert f(2) == 4\n' }
const endless = { program: 'def f(x):\n    while True: pass\n', entryPoint: 'f', tests: 'assert f(2) == 4\n' }

/** Processes below this one, by the parent numbers of /proc. */
function descendants(root = process.pid): number[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]))
    } catch {
      // it has ended
    }
  }
  const found: number[] = []
  const visit = (pid: number) => {
    for (const [child, parent] of parents)
      if (parent === pid) {
        found.push(child)
        visit(child)
      }
  }
  visit(root)
  return found
}

/** Runs one program in a sandbox of another node process, which prints the number of tests passed and does not dispose. */
function runElsewhere(options: { uid?: number; gid?: number }) {
  const code = [
    `import { PythonSandbox } from ${JSON.stringify(new URL('../../lib/sandbox/python-sandbox.ts', import.meta.url).href)}`,
    'const sandbox = await PythonSandbox.start({ workers: 1 })',
    `const report = await sandbox.runTests(${JSON.stringify(honest)})`,
    'console.log(report.passed)',
  ].join('\n')
  return spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', code], {
    encoding: 'utf8',
    timeout: 60_000,
    cwd: new URL('../..', import.meta.url),
    ...options,
  })
}

test.serial('many programs at once come back each with its own result', async (t) => {
  await using sandbox = await PythonSandbox.start({ workers: 3 })
  const reports = await Promise.all(
    Array.from({ length: 60 }, (_, i) =>
      sandbox.runTests({
        program: `def f(x):\n    return x + ${i}\n`,
        entryPoint: 'f',
        tests: `assert f(1) == ${i + 1}\nassert f(0) == 7\n`,
      }),
    ),
  )
  for (const [i, report] of reports.entries()) t.is(report.passed, i === 7 ? 2 : 1)
})

test.serial('dispose ends every process, also in the middle of a program, and twice is fine', async (t) => {
  const before = new Set(descendants())
  const sandbox = await PythonSandbox.start({ workers: 2 })
  const running = [sandbox.runTests(endless), sandbox.runTests(endless), sandbox.runTests(honest)]
  const outcomes = Promise.allSettled(running)
  await new Promise((resolve) => setTimeout(resolve, 300))
  t.true(descendants().some((pid) => !before.has(pid)))
  await sandbox.dispose()
  await sandbox.dispose()
  for (const outcome of await outcomes) {
    t.is(outcome.status, 'rejected')
    t.is((outcome as PromiseRejectedResult).reason.code, 'ERR_DISPOSED')
  }
  t.deepEqual(
    descendants().filter((pid) => !before.has(pid)),
    [],
  )
  const error = await t.throwsAsync(sandbox.runTests(honest))
  t.is((error as { code?: string }).code, 'ERR_DISPOSED')
})

test.serial(
  'abort before, while waiting and in the middle rejects with the reason, and the pool goes on',
  async (t) => {
    await using sandbox = await PythonSandbox.start({ workers: 1 })
    const reason = new Error('enough')
    await t.throwsAsync(sandbox.runTests({ ...honest, signal: AbortSignal.abort(reason) }), { is: reason })
    const first = new AbortController()
    const second = new AbortController()
    const running = sandbox.runTests({ ...endless, signal: first.signal })
    const waiting = sandbox.runTests({ ...honest, signal: second.signal })
    second.abort(reason)
    await t.throwsAsync(waiting, { is: reason })
    setTimeout(() => first.abort(reason), 100)
    await t.throwsAsync(running, { is: reason })
    t.is((await sandbox.runTests(honest)).passed, 1)
  },
)

test.serial('one signal for many programs raises no warning', async (t) => {
  await using sandbox = await PythonSandbox.start({ workers: 2 })
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  const { signal } = new AbortController()
  await Promise.all(Array.from({ length: 30 }, () => sandbox.runTests({ ...honest, signal })))
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', listen)
  t.deepEqual(warnings, [])
})

test.serial('a worker that is killed is replaced', async (t) => {
  const before = new Set(descendants())
  await using sandbox = await PythonSandbox.start({ workers: 1 })
  const killAll = () => {
    for (const pid of descendants().filter((pid) => !before.has(pid))) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // it went with its parent
      }
    }
  }
  t.is((await sandbox.runTests(honest)).passed, 1)
  killAll()
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.is((await sandbox.runTests(honest)).passed, 1)
  // In the middle of a program: it is run again.
  const running = sandbox.runTests({ ...endless, limits: { cpuSeconds: 1 } })
  await new Promise((resolve) => setTimeout(resolve, 300))
  killAll()
  t.is((await running).reason, 'timeout')
  t.is((await sandbox.runTests(honest)).passed, 1)
})

test.serial('nothing is left behind when the process that uses the sandbox is killed', async (t) => {
  const code = [
    `import { PythonSandbox } from ${JSON.stringify(new URL('../../lib/sandbox/python-sandbox.ts', import.meta.url).href)}`,
    'const sandbox = await PythonSandbox.start({ workers: 1 })',
    `sandbox.runTests(${JSON.stringify({ ...endless, limits: { cpuSeconds: 100, programCpuSeconds: 100 } })})`,
    "setTimeout(() => process.stdout.write('up'), 300)",
  ].join('\n')
  const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: new URL('../..', import.meta.url),
  })
  await once(child.stdout, 'data')
  const started = descendants(child.pid)
  t.true(started.length >= 4)
  child.kill('SIGKILL')
  await once(child, 'close')
  const isAlive = (pid: number) => existsSync(`/proc/${pid}`)
  for (let tries = 0; tries < 100 && started.some(isAlive); tries++)
    await new Promise((resolve) => setTimeout(resolve, 50))
  t.deepEqual(started.filter(isAlive), [])
})

test.serial(
  'the event loop keeps turning while programs run, and an idle sandbox does not hold the process',
  async (t) => {
    await using sandbox = await PythonSandbox.start({ workers: 1 })
    let turns = 0
    const timer = setInterval(() => turns++, 5)
    await sandbox.runTests({ ...endless, limits: { cpuSeconds: 0.3 } })
    clearInterval(timer)
    t.true(turns > 5)
    const child = runElsewhere({})
    t.is(child.status, 0, child.stderr)
    t.is(child.stdout, '1\n')
  },
)

test.serial('without bubblewrap or Python the error says what to install', async (t) => {
  const path = process.env.PATH
  process.env.PATH = ''
  try {
    const error = await t.throwsAsync(PythonSandbox.start())
    t.is((error as { code?: string }).code, 'ERR_SANDBOX_UNAVAILABLE')
    t.regex(error?.message ?? '', /apt-get install bubblewrap/)
  } finally {
    process.env.PATH = path
  }
  const missing = await t.throwsAsync(findPython('/nowhere/python3'))
  t.is((missing as { code?: string }).code, 'ERR_SANDBOX_UNAVAILABLE')
  t.regex(missing?.message ?? '', /Python 3\.9/)
})

test.serial('forbidden namespaces are an error that says what to allow', async (t) => {
  const error = await explainFailure(
    'bwrap: No permissions to create new namespace, likely because the kernel does not allow it',
  )
  t.is(error.code, 'ERR_SANDBOX_UNAVAILABLE')
  t.regex(error.message, /No permissions to create new namespace/)
  t.regex(error.message, /sysctl|--security-opt/)
})

test.serial('mode "process" warns through the log and has the limits', async (t) => {
  const warnings: string[] = []
  await using sandbox = await PythonSandbox.start({
    mode: 'process',
    workers: 1,
    log: (message) => warnings.push(message),
  })
  t.is(warnings.length, 1)
  t.regex(warnings[0] ?? '', /limits only/)
  t.is((await sandbox.runTests(honest)).passed, 1)
  t.is((await sandbox.runTests({ ...endless, limits: { cpuSeconds: 0.2 } })).reason, 'timeout')
  t.is((await sandbox.runTests({ ...honest, program: 'def f(x):\n    return [0] * 10**10\n' })).reason, 'memory')
  t.is((await sandbox.runTests({ ...honest, program: 'import os\ndef f(x):\n    os._exit(0)\n' })).reason, 'exit')
  t.is((await sandbox.runTests(honest)).passed, 1)
})

test.serial('it works for an ordinary user as well', (t) => {
  if (process.getuid?.() !== 0) {
    return skipBecause(t, 'these tests run as an ordinary user already')
  }
  const child = runElsewhere({ uid: 12345, gid: 12345 })
  if (child.error || /EACCES|ENOENT|MODULE_NOT_FOUND/.test(child.stderr)) {
    return skipBecause(t, 'an ordinary user cannot read this checkout or run this node')
  }
  t.is(child.status, 0, child.stderr)
  t.is(child.stdout, '1\n')
})

test.serial('limits that are no positive numbers are refused by name', async (t) => {
  const error = await t.throwsAsync(PythonSandbox.start({ limits: { cpuSeconds: 0 } }))
  t.is((error as { code?: string }).code, 'ERR_CONFIG')
  t.regex(error?.message ?? '', /cpuSeconds/)
})
