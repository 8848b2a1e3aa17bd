import { readdir } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { runFiles } from '../run/run-folder.ts'

/** A run folder and what it is called on the page. */
interface FoundRun {
  path: string
  /** Path as a person would type it. */
  id: string
}

/** Folders below a given one that are looked into: `comparisons/<name>/runs/<run>` is that deep. */
const depth = 3

/**
 * Looks for run folders: the given ones themselves, or what lies in them. Folders that are missing hold none.
 *
 * @param places run folders, or folders of runs
 */
export async function findRuns(places: readonly string[], cwd = process.cwd()): Promise<FoundRun[]> {
  const found = new Map<string, FoundRun>()
  for (const place of places)
    for (const path of await runsIn(resolve(cwd, place), depth)) found.set(path, { path, id: display(path, cwd) })
  return [...found.values()]
}

async function runsIn(folder: string, levels: number): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => [])
  const names = new Set(entries.map(({ name }) => name))
  if (isRun(names)) return [folder]
  if (levels === 0) return []
  const runs: string[] = []
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1)))
    if (entry.isDirectory() && !entry.name.startsWith('.') && entry.name !== 'node_modules')
      runs.push(...(await runsIn(join(folder, entry.name), levels - 1)))
  return runs
}

/** A comparison has a configuration, too, but `runs` or tables beside it. */
function isRun(names: ReadonlySet<string>): boolean {
  if (names.has(runFiles.metrics)) return true
  const isSetUp = names.has(runFiles.config) && names.has(runFiles.environment)
  return isSetUp && !names.has('comparison.json') && !names.has('runs') && !names.has(runFiles.samples)
}

function display(path: string, cwd: string): string {
  const fromHere = relative(cwd, path)
  return fromHere !== '' && !fromHere.startsWith('..') ? fromHere : path
}
