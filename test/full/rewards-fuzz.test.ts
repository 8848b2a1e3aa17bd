import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { runPlainly } from '../support/mutants.ts'

interface Case {
  program: string
  tests: string
  entryPoint: string
}

for (const seed of [1, 2, 3])
  test.serial(
    `no more asserts pass than in plain CPython: 700 random programs and test files, seed ${seed}`,
    async (t) => {
      t.timeout(1_800_000)
      const script = join(repositoryDir, 'test/sandbox/fuzz.py')
      const made = execFileSync('python3', [script, '700', `${seed}`], { encoding: 'utf8', maxBuffer: 1 << 28 })
      const cases = JSON.parse(made) as Case[]
      const plain = runPlainly(cases)
      await using sandbox = await PythonSandbox.start({ workers: 2, limits: { cpuSeconds: 1, programCpuSeconds: 4 } })
      let passed = 0
      await Promise.all(
        cases.map(async (each, index) => {
          const report = await sandbox.runTests(each)
          passed += report.passed
          const expected = plain[index]
          if (!expected) return
          const wrong = report.outcomes.filter(({ number, ok }) => ok && !expected[number])
          if (wrong.length > 0) t.fail(`${each.program}\n${each.tests}\n${JSON.stringify(wrong)}`)
        }),
      )
      t.log(`${passed} asserts passed`)
      t.true(passed > 100)
    },
  )
