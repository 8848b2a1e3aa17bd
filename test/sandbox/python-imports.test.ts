import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import test from 'ava'
import { repositoryDir } from '../support/fixtures.ts'

/** The folders that each folder of `python/` may import from besides itself. */
const allowed: Record<string, string[]> = {
  sandbox: [],
  code_task: ['sandbox'],
  cooperation: ['code_task', 'sandbox'],
  reward: [],
  worker: ['code_task', 'cooperation', 'sandbox'],
}

const script = join(repositoryDir, 'test/sandbox/import_graph.py')
const graph = JSON.parse(
  execFileSync('python3', [script, join(repositoryDir, 'python')], { encoding: 'utf8' }),
) as Record<string, string[]>
const names = Object.keys(graph)

function folderOf(name: string): string {
  return name.split('.')[0]!
}

/** A way along imports from a module back to itself; `undefined` if there is none. */
function circleFrom(start: string): string[] | undefined {
  const seen = new Set<string>()
  const search = (path: string[]): string[] | undefined => {
    for (const next of graph[path.at(-1)!]!) {
      if (next === start) return [...path, next]
      if (seen.has(next)) continue
      seen.add(next)
      const found = search([...path, next])
      if (found) return found
    }
    return undefined
  }
  return search([start])
}

test('every module is seen', (t) => {
  for (const name of ['sandbox.wire', 'code_task.scoring', 'cooperation.flow', 'reward.host', 'worker'])
    t.true(names.includes(name), name)
  t.true(graph['sandbox.handle']!.includes('sandbox.proxies'))
})

test('no Python module imports itself by way of others, not even inside a function', (t) => {
  t.deepEqual(names.map(circleFrom).filter(Boolean), [])
})

test('folders import only in the allowed directions', (t) => {
  const wrong = names.flatMap((from) =>
    graph[from]!.filter((to) => ![folderOf(from), ...(allowed[folderOf(from)] ?? [])].includes(folderOf(to))).map(
      (to) => `${from} imports ${to}`,
    ),
  )
  t.deepEqual(wrong, [])
})
