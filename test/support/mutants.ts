/** Wrong programs made of right ones, what plain CPython says of their tests, and what the strict reward pays for them. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { ExecutionContext } from 'ava'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { createCodeReward } from '../../lib/tasks/code/reward.ts'
import { repositoryDir, sharedDir } from './fixtures.ts'

/** A problem with its whole solution. */
export interface Solved extends CodeItem {
  solution: string
}

/** The project's own problems: each file of `test/sandbox/problems` has a solution with a docstring and then its `check`. */
export function ownProblems(): Solved[] {
  const folder = join(repositoryDir, 'test/sandbox/problems')
  const files = readdirSync(folder).filter((file) => file.endsWith('.py'))
  return files.sort().map((file, index) => {
    const text = readFileSync(join(folder, file), 'utf8')
    const name = file.slice(0, -'.py'.length)
    const [, solution, prompt, test] = /^((.*^def \w+\(.*?^ {4}"""\n).*)^(def check\(.*)$/ms.exec(text) ?? []
    return { task_id: `Own/${index}`, prompt: prompt!, entry_point: name, test: test!, solution: solution! }
  })
}

/** The 164 problems of HumanEval; `undefined` where they are not here. */
export function humanEval(): Solved[] | undefined {
  const file = join(sharedDir() ?? '', 'data/HumanEval.jsonl.gz')
  if (!existsSync(file)) return undefined
  const rows = gunzipSync(readFileSync(file)).toString('utf8').trim().split('\n')
  return rows.map((row) => {
    const item = JSON.parse(row)
    return { ...item, solution: item.prompt + item.canonical_solution }
  })
}

/** The 427 problems of sanitized MBPP in the form of HumanEval; `undefined` where they are not here. */
export function mbpp(): Solved[] | undefined {
  const file = join(sharedDir() ?? '', 'data/sanitized-mbpp.json')
  if (!existsSync(file)) return undefined
  const rows = JSON.parse(readFileSync(file, 'utf8')) as {
    task_id: number
    code: string
    prompt: string
    test_list: string[]
    test_imports: string[]
  }[]
  return rows.map(({ task_id, code, prompt, test_list, test_imports }) => ({
    task_id: `MBPP/${task_id}`,
    prompt: `"""${prompt}"""\n`,
    entry_point: /(\w+)\(/.exec(test_list[0]!.replace(/^assert\s*\(*(?:(?:set|sorted|math\.\w+)\()?/, ''))![1]!,
    test: [...test_imports, ...test_list, ''].join('\n'),
    solution: code.replaceAll('\r', ''),
  }))
}

/** Which asserts pass in plain CPython, in the order of the text, by program; `null` where that took too long. */
export function runPlainly(requests: { program: string; tests: string; entryPoint: string }[]): (boolean[] | null)[] {
  const script = join(repositoryDir, 'test/sandbox/plain.py')
  const said = execFileSync('python3', [script], {
    input: JSON.stringify(requests),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  return said
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** Checks that no mutant which fails an assert in plain CPython gets full marks, and logs how many pass them all. */
export async function checkMutants(t: ExecutionContext, count: number, seed: number): Promise<void> {
  const problems = [...ownProblems(), ...(humanEval() ?? []), ...(mbpp() ?? [])]
  const script = join(repositoryDir, 'test/sandbox/mutate.py')
  const input = JSON.stringify(problems.map(({ solution, entry_point }) => [solution, entry_point]))
  const made = execFileSync('python3', [script, `${count}`, `${seed}`], { input, encoding: 'utf8', maxBuffer: 1 << 28 })
  const mutants = (JSON.parse(made) as [number, string][]).map(([number, main]) => ({ item: problems[number]!, main }))
  t.is(mutants.length, count)
  const plain = runPlainly(
    mutants.map(({ item, main }) => ({
      program: main, // solutions of HumanEval begin with their prompt
      tests: item.test,
      entryPoint: item.entry_point,
    })),
  )
  const reward = createCodeReward({ rules: 'strict', limits: { cpuSeconds: 1, programCpuSeconds: 4, maxTimeouts: 1 } })
  const counts = { wrong: 0, survived: 0, slow: 0 }
  try {
    await Promise.all(
      mutants.map(async ({ item, main }, index) => {
        const { parts } = await reward.score(item, [main])
        const passed = plain[index]
        const said = `${item.task_id}: ${JSON.stringify(parts)}\n${main}`
        if (!passed) counts.slow++
        else {
          t.true(parts.tests_passed! <= passed.filter(Boolean).length, said)
          const isRight = passed.every(Boolean)
          counts[isRight ? 'survived' : 'wrong']++
          if (!isRight) t.true(parts.tests! < 1, said)
        }
      }),
    )
  } finally {
    await reward.dispose()
  }
  t.log(`${counts.wrong} fail an assert, ${counts.survived} pass all of theirs, ${counts.slow} take too long`)
  t.true(counts.wrong > count / 2)
}
