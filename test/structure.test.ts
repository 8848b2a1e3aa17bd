/** The architecture as a test: which folder of the product may import which, and that nothing imports in a circle. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { repositoryDir } from './support/fixtures.ts'

/**
 * Every folder of `lib/` with the folders it may import, from the ground up: a folder imports only what stands above it in this
 * list. Type imports count.
 */
const architecture = `
  base:
  native: base
  ranks: base native
  hub: base
  sandbox: base
  text: base
  model: base native ranks hub text
  tasks/task: base text
  tasks/datasets: base hub
  tasks/baselines: base model tasks/task
  tasks/writing: base tasks/task tasks/datasets tasks/baselines
  tasks/code: base sandbox tasks/task tasks/datasets
  tasks/tldr: base tasks/task tasks/datasets tasks/baselines tasks/writing
  tasks/arxiv: base tasks/task tasks/datasets tasks/baselines tasks/writing
  tasks/story: base tasks/task tasks/baselines tasks/writing
  tasks/humaneval: tasks/task tasks/datasets tasks/code
  tasks/coophumaneval: tasks/task tasks/datasets tasks/code
  tasks/mbpp: base tasks/task tasks/datasets tasks/code
  tasks/mini-code: base sandbox tasks/task tasks/code
  tasks: tasks/task tasks/code tasks/tldr tasks/arxiv tasks/story tasks/humaneval tasks/coophumaneval tasks/mbpp tasks/mini-code
  rl/options: base model
  rl/types: text model tasks/task rl/options
  rl/memory: base native model
  rl/backend: base model tasks/task rl/options rl/types rl/memory
  rl/rollout: base text model tasks/task rl/options rl/types rl/backend
  rl/credit: base text model rl/options rl/backend rl/rollout
  rl/algorithms: base rl/options rl/rollout rl/credit
  rl/update: base model rl/options rl/backend rl/credit
  rl/report: base model rl/types rl/rollout rl/credit
  rl/team: base native model tasks/task rl/options rl/types rl/memory rl/backend rl/rollout rl/algorithms
  rl: base model tasks/task rl/options rl/types rl/memory rl/backend rl/rollout rl/credit rl/algorithms rl/update rl/report rl/team
  run: base hub model tasks/task rl/types
  track: base rl/types
  watch: base rl/types run
  watch/page: rl/types watch
  ui: base hub text tasks/mini-code rl/types rl/memory
  report/comparison: base sandbox text tasks/task tasks/datasets tasks/writing tasks/code run ui
  report: base rl/types run watch watch/page report/comparison
  config: base model tasks rl/options rl/algorithms run track
  session: base native ranks model tasks/task tasks rl/options rl/types rl/memory rl/algorithms rl/report rl/team rl run track ui report config
  compare: base ranks model tasks/task tasks/baselines rl/options rl/types rl/backend rl/rollout rl/team rl run report/comparison config session
  doctor: base native
  check: base native model rl/algorithms rl/team session tasks/task
  cli: base native ranks model tasks/task tasks rl/types rl/memory rl/algorithms run watch ui report/comparison report config session compare doctor check
  .: base native hub sandbox text model tasks/task tasks/datasets tasks/baselines tasks/writing tasks/code tasks/tldr tasks/arxiv tasks/story tasks/mbpp tasks/mini-code tasks rl/options rl/types rl/memory rl/credit rl/algorithms rl/team rl run track watch report/comparison report config session compare doctor
`

type Graph = Map<string, Set<string>>

const files = (folder: string, extensions: RegExp) =>
  readdirSync(path.join(repositoryDir, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => extensions.test(file))
    .map((file) => path.posix.join(folder, file.replaceAll(path.sep, '/')))
    .sort()

/** Files and the files they import, by a pattern whose first group is the import as it is written. */
function importGraph(
  sources: string[],
  pattern: RegExp,
  resolve: (from: string, written: string) => string | null,
): Graph {
  return new Map(
    sources.map((file) => {
      const text = readFileSync(path.join(repositoryDir, file), 'utf8')
      const targets = [...text.matchAll(pattern)].map((match) => resolve(file, match[1]!))
      return [file, new Set(targets.filter((target): target is string => target !== null && target !== file))]
    }),
  )
}

/** Static, dynamic and type imports, and `export … from`. */
const typescriptGraph = importGraph(
  files('lib', /\.ts$/),
  /(?:\bfrom\s+|\bimport\s*\(\s*|\bimport\s+)'(\.[^']+)'/g,
  (from, written) => path.posix.join(path.posix.dirname(from), written),
)

const nativeFiles = files('native', /\.(cc|h|cu|inc)$/)
const nativeGraph = importGraph(nativeFiles, /^\s*#\s*include\s+"([^"]+)"/gm, (from, written) => {
  const places = [path.posix.join('native', written), path.posix.join(path.posix.dirname(from), written)]
  return places.find((file) => nativeFiles.includes(file)) ?? null
})

/** The graph of the folders that a graph of files makes. */
function folderGraph(graph: Graph): Graph {
  const folders: Graph = new Map()
  const folderOf = (file: string) => path.posix.relative('lib', path.posix.dirname(file)) || '.'
  for (const [file, targets] of graph) {
    const from = folderOf(file)
    if (!folders.has(from)) folders.set(from, new Set())
    for (const target of targets) if (folderOf(target) !== from) folders.get(from)!.add(folderOf(target))
  }
  return folders
}

/** One circle of a graph as the nodes along it; null if it has none. */
function findCircle(graph: Graph): string[] | null {
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (node: string): string[] | null => {
    if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node]
    if (done.has(node)) return null
    trail.push(node)
    for (const next of graph.get(node) ?? []) {
      const circle = visit(next)
      if (circle) return circle
    }
    trail.pop()
    done.add(node)
    return null
  }
  for (const node of graph.keys()) {
    const circle = visit(node)
    if (circle) return circle
  }
  return null
}

/** The architecture as folders and what each may import. */
function readArchitecture(): Map<string, string[]> {
  const lines = architecture.trim().split('\n')
  return new Map(
    lines.map((line) => {
      const [folder, allowed] = line.trim().split(':') as [string, string]
      return [folder, allowed.split(' ').filter(Boolean)]
    }),
  )
}

test('a folder imports only what stands above it in the architecture', (t) => {
  const rules = readArchitecture()
  const order = [...rules.keys()]
  for (const [folder, allowed] of rules)
    for (const other of allowed)
      t.true(
        order.includes(other) && order.indexOf(other) < order.indexOf(folder),
        `${folder}: ${other} stands below it`,
      )

  const found = [...folderGraph(typescriptGraph)].flatMap(([from, targets]) =>
    [...targets].filter((to) => !rules.get(from)?.includes(to)).map((to) => `${from} -> ${to}`),
  )
  t.deepEqual(found, [])
  const folders = [...folderGraph(typescriptGraph).keys()]
  t.deepEqual([...folders].sort(), [...order].sort(), 'the architecture names every folder once')
  t.is(findCircle(folderGraph(typescriptGraph)), null)
})

test('no file of lib imports itself through others', (t) => {
  t.is(findCircle(typescriptGraph), null)
})

test('no header of native includes itself through others', (t) => {
  t.is(findCircle(nativeGraph), null)
})

test('a circle is found where there is one', (t) => {
  const graph = new Map([
    ['a', new Set(['b'])],
    ['b', new Set(['c'])],
    ['c', new Set(['b'])],
  ])
  t.deepEqual(findCircle(graph), ['b', 'c', 'b'])
  t.true(typescriptGraph.size > 200 && nativeGraph.size > 80)
  t.true([...typescriptGraph.values()].filter((targets) => targets.size > 0).length > 150, 'imports are seen')
})
