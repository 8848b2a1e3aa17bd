import { execFile } from 'node:child_process'
import { cpSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { importScript, makeProgram, root, temporaryFolder } from './stand-ins.ts'

interface Counts {
  passed: number
  failed: number
  skipped: number
}
interface TapScript {
  summaryLines(counts: Counts): string[]
  parseSummary(line: string): Omit<Counts, 'skipped'> | null
  tapReader(print: (line: string) => void): { counts: Counts; feed(line: string): void; isWhole(): boolean }
}
const { summaryLines, parseSummary, tapReader } = await importScript<TapScript>('test/tap.mjs')

test('results are counted from TAP; a failure is shown in full, the plan is not', (t) => {
  const printed: string[] = []
  const { counts, feed, isWhole } = tapReader((line) => printed.push(line))
  const tap = [
    'TAP version 13',
    'ok 1 - a › left out # SKIP',
    'not ok 2 - a › later # TODO',
    'ok 3 - a › passes',
    '#   a log line',
    'ok 4 - a › cannot run here',
    '#   another line',
    '#   skipped: chromium is missing',
    'not ok 4 - a › fails',
    '  ---',
    '    message: boom',
    '  ...',
    'not ok 5 - test/b.test.ts exited due to SIGSEGV',
    '',
    '1..5',
    '# tests 5',
    '# fail 2',
  ]
  for (const line of tap.slice(0, 12)) feed(line)
  t.false(isWhole(), 'the reporter may have ended early')
  for (const line of tap.slice(12)) feed(line)
  t.true(isWhole())
  t.deepEqual(counts, { passed: 1, failed: 2, skipped: 3 })
  t.true(printed.includes(' skip  a › cannot run here'))
  t.true(printed.includes('    #   skipped: chromium is missing'))
  t.true(printed.includes('  ok   a › passes'))
  t.true(printed.includes('        message: boom'))
  t.true(printed.includes('    #   a log line'))
  t.true(printed.includes('FAILED a › fails'))
  t.false(printed.some((line) => line.includes('# fail') || line.includes('TAP')))
})

test('the last line is written and read in one form', (t) => {
  t.deepEqual(summaryLines({ passed: 3, failed: 0, skipped: 0 }), ['3 passed, 0 failed'])
  t.deepEqual(summaryLines({ passed: 3, failed: 1, skipped: 2 }), [
    '2 skipped, for the reasons above',
    '3 passed, 1 failed',
  ])
  t.deepEqual(parseSummary('3 passed, 1 failed'), { passed: 3, failed: 1 })
  t.is(parseSummary('3 passed, 1 failed and more'), null)
})

// Runs .ci/run, with ../shared beside it, with an npm that answers `npm test`, `npm run test:full` and the rest with these scripts.
function runCi(
  t: import('ava').ExecutionContext,
  plain: string,
  full: string,
  real = 'echo "0 passed, 0 failed"',
): Promise<{ code: number; last: string[] }> {
  const folder = path.join(temporaryFolder(t), 'checkout')
  mkdirSync(path.join(folder, '.ci'), { recursive: true })
  mkdirSync(path.join(folder, '../shared'))
  cpSync(path.join(root, '.ci/run'), path.join(folder, '.ci/run'))
  makeProgram(
    path.join(folder, 'bin'),
    'npm',
    `case "$*" in test) ${plain};; "run test:full") ${full};; *) ${real};; esac`,
  )
  const env = { ...process.env, PATH: `${path.join(folder, 'bin')}:${process.env.PATH}` }
  return new Promise((resolve) => {
    execFile(path.join(folder, '.ci/run'), { env }, (error, stdout) => {
      resolve({ code: Number(error?.code ?? 0), last: stdout.trimEnd().split('\n').slice(-2) })
    })
  })
}

test('CI tests a copy with nothing beside it, then what needs ../shared with that', async (t) => {
  const plain = 'test -e .ci/run && test ! -e ../shared && echo "4 passed, 0 failed"'
  const real = 'test -e ../shared && test "$*" = "test -- test/real" && echo "2 passed, 0 failed"'
  t.deepEqual(await runCi(t, plain, 'echo "1 passed, 0 failed"', real), { code: 0, last: ['', '7 passed, 0 failed'] })
})

test('CI adds up both runs and ends with one line', async (t) => {
  const good = 'echo working; echo "4 passed, 0 failed"'
  t.deepEqual(await runCi(t, good, 'echo "3 skipped, why"; echo "2 passed, 0 failed"'), {
    code: 0,
    last: ['3 skipped, for the reasons above', '6 passed, 0 failed'],
  })
  const ends = async (...scripts: [string, string]) => {
    const { code, last } = await runCi(t, ...scripts)
    return `${code}: ${last.at(-1)}`
  }
  t.is(await ends('echo "1 passed, 2 failed"; exit 1', good), '1: 5 passed, 2 failed')
  t.is(await ends('echo crashed; exit 139', good), '1: 4 passed, 1 failed')
  t.is(await ends(good, 'echo "1 passed, 0 failed"; exit 7'), '1: 5 passed, 1 failed')
})
