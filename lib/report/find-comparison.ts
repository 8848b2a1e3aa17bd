import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { comparisonFiles, readComparison } from './comparison/folder.ts'
import { comparisonPicture } from './comparison/picture.ts'
import { notesOf, type TextTable, tablesOf } from './comparison/tables.ts'

/** A comparison as a report shows it. */
interface ShownComparison {
  folder: string
  tables: TextTable[]
  notes: string[]
  /** SVG. */
  picture: string
}

/**
 * The comparison that belongs to a run: the given one, else one that lies in the run folder, else the one whose `runs` the run is
 * among.
 *
 * @throws MagrpoError `ERR_RUN` or `ERR_DATA` if the given folder holds no finished comparison
 */
export async function findComparison(runDir: string, given?: string): Promise<ShownComparison | null> {
  const places = [join(runDir, 'comparison'), runDir, join(runDir, '..', '..')]
  const folder = given ?? places.find((place) => existsSync(join(place, comparisonFiles.comparison)))
  if (folder === undefined) return null
  const comparison = await readComparison(folder)
  return { folder, tables: tablesOf(comparison), notes: notesOf(comparison), picture: comparisonPicture(comparison) }
}
