import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { attempts } from './hostile/format.ts'

let sandbox: PythonSandbox

const limits = { cpuSeconds: 0.4, programCpuSeconds: 1.5, maxTimeouts: 1, memoryBytes: 128 * 2 ** 20 }

test.before(async () => {
  sandbox = await PythonSandbox.start({ workers: 2, limits: { ...limits, wallSeconds: 30 } })
})

test.after.always(() => sandbox?.dispose())

const tests = 'def check(candidate):\n    assert candidate(2) == 4\n    assert candidate([3]) == [3, 3]\n'
const honest = 'def f(x):\n    return 2 * x\n'
const wrong = 'def f(x):\n    return 5\n'

const programs = attempts('program')
const testFiles = attempts('test')

test('the red team has at least 150 programs and 40 tests', (t) => {
  t.true(programs.length >= 150, `${programs.length}`)
  t.true(testFiles.length >= 40, `${testFiles.length}`)
})

for (const kind of new Set(programs.map((each) => each.kind)))
  test(`${kind}: no wrong program passes anything, and the next one is judged as ever`, async (t) => {
    await Promise.all(
      programs
        .filter((each) => each.kind === kind)
        .map(async ({ tries, code }) => {
          const report = await sandbox.runTests({ program: code, entryPoint: 'f', tests })
          t.deepEqual([report.passed, report.forgeable], [0, 0], `${tries}: ${JSON.stringify(report)}`)
          t.is((await sandbox.runTests({ program: honest, entryPoint: 'f', tests })).passed, 2, tries)
        }),
    )
  })

for (const kind of new Set(testFiles.map((each) => each.kind)))
  test(`${kind}: no test file changes the verdict on another problem`, async (t) => {
    await Promise.all(
      testFiles
        .filter((each) => each.kind === kind)
        .map(async ({ tries, code }) => {
          const own = await sandbox.runTests({ program: wrong, entryPoint: 'f', tests: code })
          t.true(own.passed <= own.total && own.total <= 1000, tries)
          t.is((await sandbox.runTests({ program: wrong, entryPoint: 'f', tests })).passed, 0, tries)
          t.is((await sandbox.runTests({ program: honest, entryPoint: 'f', tests })).passed, 2, tries)
        }),
    )
  })
