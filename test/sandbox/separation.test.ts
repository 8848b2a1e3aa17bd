import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const program = 'def f(x):\n    return 2 * x\n'
const honest = { program, entryPoint: 'f', tests: 'assert f(2) == 4\nassert f(3) == 6\n' }

/** Processes of the sandbox by the name they give themselves, with their kernel's number. */
function processesNamed(name: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    try {
      if (!/^\d+$/.test(entry) || readFileSync(`/proc/${entry}/comm`, 'utf8').trim() !== name) return []
      return isBelow(Number(entry)) ? [Number(entry)] : []
    } catch {
      return [] // it has ended
    }
  })
}

function isBelow(pid: number): boolean {
  for (let at = pid; at > 1; ) {
    if (at === process.pid) return true
    const stat = readFileSync(`/proc/${at}/stat`, 'utf8')
    at = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
  }
  return false
}

/** Memory of a process, MiB. */
function megabytesOf(pid: number): number {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)
  return Number(line?.[1] ?? 0) / 1024
}

test.serial('no descriptor that the caller has open is open in a program, in a test or between them', async (t) => {
  const folder = await temporaryFolder(t)
  writeFileSync(join(folder, 'secret'), 'of the host')
  mkdirSync(join(folder, 'folder'))
  const look = [
    'import os',
    'def opened():',
    '    found = []',
    '    for number in range(3, 4096):',
    '        try: os.fstat(number)',
    '        except OSError: continue',
    '        found.append(number)',
    '    return found',
    '',
  ].join('\n')
  const code = [
    `import { PythonSandbox } from ${JSON.stringify(new URL('../../lib/sandbox/python-sandbox.ts', import.meta.url).href)}`,
    "for (const mode of ['bubblewrap', 'process']) {",
    '  const sandbox = await PythonSandbox.start({ workers: 1, mode })',
    `  const program = ${JSON.stringify(`${look}def f(x):\n    return opened()\n`)}`,
    `  const tests = ${JSON.stringify(`${look}mine = f(0)\nassert mine == [], mine\nassert len(opened()) - len(f(0)) == 99, opened()\n`)}`,
    "  const { outcomes } = await sandbox.runTests({ program, tests, entryPoint: 'f' })",
    '  console.log(JSON.stringify(outcomes.map(({ message }) => message)))',
    '  await sandbox.dispose()',
    '}',
  ].join('\n')
  const opened = 'exec 3<secret 9<folder 250<>secret 251> >(cat) 300<folder 301>>out 1000<secret'
  const node = [process.execPath, `--import=${import.meta.resolve('tsx')}`, '--input-type=module', '-e', code]
  const child = spawnSync('bash', ['-c', `${opened}; exec "$0" "$@"`, ...node], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 60_000,
  })
  t.is(child.status, 0, child.stderr)
  for (const line of child.stdout.trim().split('\n')) {
    const [inProgram, inTest] = JSON.parse(line) as string[]
    t.is(inProgram, '[250]') // its channel
    t.regex(inTest ?? '', /^\[\d+(, \d+){3}\]$/) // desk, channel, output and what /proc says of the program
    for (const number of JSON.parse(inTest ?? '[]')) t.true(number < 64, inTest)
  }
})

test.serial(
  'what the kernel holds for a program is bounded: buffers, timers, calls that touch every file system',
  async (t) => {
    await using sandbox = await PythonSandbox.start({ workers: 1 })
    const greedy = [
      'import ctypes, os, socket',
      'libc = ctypes.CDLL(None, use_errno=True)',
      'def f(kind):',
      '    if kind == "buffers":',
      '        pairs, held = [], 0',
      '        try:',
      '            while True: pairs.append(socket.socketpair())',
      '        except OSError: pass',
      '        for one, _ in pairs:',
      '            try: one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)',
      '            except OSError: pass',
      '            one.setblocking(False)',
      '            try:',
      '                while True: held += one.send(b"x" * 65536)',
      '            except OSError: pass',
      '        return held >> 20',
      '    if kind == "timers":',
      '        made, number = 0, ctypes.c_int()',
      '        while made < 100 and libc.syscall(222, 1, None, ctypes.byref(number)) == 0: made += 1',
      '        return made',
      '    return [libc.syscall(162), libc.syscall(306, 0), libc.syscall(206, 65536, ctypes.byref(ctypes.c_long()))]',
      '',
    ].join('\n')
    const tests = [
      'assert f("buffers") <= 32, f("buffers")',
      'assert f("timers") <= 32, f("timers")',
      'assert f("calls") == [-1, -1, -1], f("calls")',
    ].join('\n')
    const report = await sandbox.runTests({ program: greedy, entryPoint: 'f', tests })
    t.is(report.message, '')
    t.is(report.passed, process.arch === 'x64' ? 3 : report.passed)
  },
)

for (const name of ['judge', 'program', 'desk', 'server'])
  test.serial(`a ${name} that is killed from outside costs the program nothing`, async (t) => {
    await using sandbox = await PythonSandbox.start({ workers: 1 })
    const slow = `import time\ntime.sleep(1)\n${program}`
    const running = sandbox.runTests({ ...honest, program: slow })
    await new Promise((resolve) => setTimeout(resolve, 400))
    const victims = processesNamed(name)
    t.is(victims.length, 1)
    process.kill(victims[0]!, 'SIGKILL')
    const report = await running
    t.is(report.passed, 2, report.message)
    t.is((await sandbox.runTests(honest)).passed, 2)
  })

test.serial('no program leaves anything in a process that lasts: huge names of exceptions', async (t) => {
  await using sandbox = await PythonSandbox.start({ workers: 1 })
  const innocent = {
    entryPoint: 'f',
    program: 'def f(n):\n    return list(range(n))\n',
    tests: 'assert f(3) == [0, 1, 2]\nassert f(600000) == list(range(600000))\nassert len(f(5)) == 5',
  }
  const hostile = [
    'import sys',
    'n = [0]',
    'def describe(error):',
    '    n[0] += 1',
    '    return [str(n[0]) + "K" * 12_000_000, "x"]',
    'sys.modules["sandbox.runner"].describe = describe',
    'def f(x): raise ValueError',
    '',
  ].join('\n')
  const tests = Array.from({ length: 30 }, (_, i) => `assert f(${i}) == 1`).join('\n')
  t.is((await sandbox.runTests({ program: hostile, entryPoint: 'f', tests })).passed, 0)
  t.is((await sandbox.runTests(innocent)).passed, 3)
  for (const name of ['desk', 'server', 'judge'])
    for (const pid of processesNamed(name)) t.true(megabytesOf(pid) < 150, `${name}: ${megabytesOf(pid)} MiB`)
})

test.serial(
  'a result that makes the judge compute ends with the CPU time of the program, and is answered once',
  async (t) => {
    const sandbox = await PythonSandbox.start({ workers: 1, limits: { programCpuSeconds: 2, wallSeconds: 300 } })
    try {
      const shared = 'a = [1]\nfor i in range(60): a = [a, a]\ndef f(x):\n    return a\n'
      const made = {
        'sum of a range': { program: 'def f(x):\n    return range(10**12)\n', tests: 'assert sum(f(0)) == 1\n' },
        'text of a shared list': { program: shared, tests: 'assert str(f(0)) == "1"\n' },
      }
      for (const [what, given] of Object.entries(made)) {
        const report = await sandbox.runTests({ entryPoint: 'f', ...given })
        t.is(report.reason, 'timeout', what)
        t.is(report.passed, 0, what)
      }
      t.like(await sandbox.runTests(honest), { passed: 2, total: 2 })
    } finally {
      await sandbox.dispose()
    }
  },
)
