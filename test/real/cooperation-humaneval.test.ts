/** The detector on real programs: the canonical solutions of HumanEval, put together in ways whose label is known. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import { type CooperationLabel, detectCooperations } from '../../lib/tasks/code/cooperation.ts'
import type { CodeItem } from '../../lib/tasks/code/item.ts'
import { sharedDir, skip } from '../support/fixtures.ts'

const file = join(sharedDir() ?? '', 'data/HumanEval.jsonl.gz')

interface Problem extends CodeItem {
  canonical_solution: string
}

function problems(): Problem[] {
  const text = gunzipSync(readFileSync(file)).toString('utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** Names of the entry point's parameters. */
function parametersOf({ prompt, entry_point }: Problem): string[] {
  const list = new RegExp(`def ${entry_point}\\(([^)]*)\\)`).exec(prompt)![1]!
  const depthless = list.replace(/\[[^\]]*\]+/g, '')
  return depthless.split(',').map((parameter) => parameter.split(/[:=]/)[0]!.trim())
}

/** The canonical solution as the body of a function of another name, which it calls where it is recursive. */
function bodyOf({ canonical_solution, entry_point }: Problem, name: string): string {
  return canonical_solution.replace(new RegExp(`\\b${entry_point}\\b`, 'g'), name)
}

type Maker = (names: string, body: string, signature: string) => string

/** Entry points around a canonical solution, which is the helper too. `body` has four blanks before it. */
const ways: [label: CooperationLabel, make: Maker][] = [
  ['no_call', (_names, body, signature) => `${signature}    # aux(x)\n${body}`],
  ['ignored', (names, body, signature) => `${signature}    unused = aux(${names})\n${body}`],
  [
    'wrapper',
    (names, _body, signature) => `${signature}    """Calls aux."""\n    answer = aux(${names})\n    return answer\n`,
  ],
  [
    'fallback',
    (names, body, signature) =>
      `${signature.replace(/^def \w+/, 'def backup')}${body}\n${signature}    try:\n        return aux(${names})\n    except Exception:\n        return backup(${names})\n`,
  ],
  [
    'fallback',
    (names, body, signature) =>
      `${signature}    found = aux(${names})\n    if found is not None:\n        return found\n    else:\n        def backup(${names}):\n${body.replace(/^/gm, '        ')}\n        found = backup(${names})\n    return found\n`,
  ],
  ['decorator', (names, _body, signature) => `${signature}    answer = aux(${names})\n    return [answer, None][0]\n`],
  [
    'strategy_filter',
    (names, body, signature) =>
      `${signature.replace(/^def \w+/, 'def special')}${body}\n${signature}    if aux(${names}) == 3:\n        return special(${names})\n    return len(str([${names}]))\n`,
  ],
  [
    'coordinator',
    (names, _body, signature) =>
      `${signature}    results = []\n    for round in range(3):\n        results.append(aux(${names.split(', ')[0]}, round))\n    return results\n`,
  ],
]

/**
 * By way: solutions that change the list they are given. As a helper whose value is dropped they still have an influence,
 * and a way of one's own that is given what is left of the list is none.
 */
const inPlace: Record<number, string[]> = {
  1: ['HumanEval/70', 'HumanEval/120', 'HumanEval/149'],
  4: ['HumanEval/70'],
  6: ['HumanEval/70'],
}

test('canonical solutions of HumanEval in eight ways of cooperation', async (t) => {
  if (!existsSync(file)) return skip(t, '../shared/data/HumanEval.jsonl.gz')
  const all = problems()
  const sandbox = await PythonSandbox.start()
  try {
    for (const [way, [label, make]] of ways.entries()) {
      const samples = all.map((item) => {
        const names = parametersOf(item)
        const signature = `def ${item.entry_point}(${names.join(', ')}):\n`
        const aux = `def aux(${names.join(', ')}):\n${bodyOf(item, 'aux')}`
        return {
          item,
          texts: [
            aux,
            make(names.join(', '), bodyOf(item, label === 'fallback' ? 'backup' : item.entry_point), signature),
          ],
        }
      })
      const found = await detectCooperations(samples, { sandbox })
      const wrong = found.flatMap(({ primary, labels }, index) => {
        const task_id = all[index]!.task_id!
        if (inPlace[way]?.includes(task_id)) return primary === 'decorator' ? [] : [task_id]
        return primary === label ? [] : [`${task_id}: ${labels}\n${samples[index]!.texts[1]}`]
      })
      t.deepEqual(wrong, [], `way ${way}, ${label}`)
    }
    t.is(all.length, 164)
  } finally {
    await sandbox.dispose()
  }
})

test('canonical solutions run with other helpers: useful as wrapper, useless as backup', async (t) => {
  if (!existsSync(file)) return skip(t, '../shared/data/HumanEval.jsonl.gz')
  const some = problems().filter((_, index) => index % 20 === 0)
  const sandbox = await PythonSandbox.start()
  try {
    const samples = [2, 3].flatMap((way) =>
      some.map((item) => {
        const names = parametersOf(item).join(', ')
        const aux = `def aux(${names}):\n${bodyOf(item, 'aux')}`
        const main = ways[way]![1](names, bodyOf(item, 'backup'), `def ${item.entry_point}(${names}):\n`)
        return { item, texts: [aux, main] }
      }),
    )
    const found = await detectCooperations(samples, { sandbox, dynamic: true })
    for (const [index, { primary, dynamic }] of found.entries()) {
      const name = `${primary} ${samples[index]!.item.task_id} ${JSON.stringify(dynamic)}`
      t.is(dynamic?.p0, 1, name)
      if (primary === 'fallback') {
        t.is(dynamic?.pRaise, 1, name)
        t.is(dynamic?.usefulness, 0, name)
        t.true(dynamic?.confirmed.fallback, name)
      } else t.true(dynamic!.usefulness > 0, name)
    }
  } finally {
    await sandbox.dispose()
  }
})
