import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectText } from '../base/arguments.ts'
import { cannotWrite } from '../base/cannot-write.ts'
import { MagrpoError } from '../base/errors.ts'
import { text } from '../base/fields.ts'
import { type FieldsOf, resolve, section } from '../base/validate.ts'
import { replaceFile } from '../base/write-file.ts'
import { refuseNewerRun } from '../run/run-info.ts'
import { RunReader } from '../watch/run-reader.ts'
import { comparisonFiles, readComparison } from './comparison/folder.ts'
import type { Comparison } from './comparison/types.ts'
import { type ReportContent, reportPage } from './page.ts'

/** What {@link writeReport} may be told. */
export interface ReportOptions {
  /** Where to; `report.html` in the run folder by default. */
  out?: string
  /** Folder of a comparison whose tables belong to the run. By default the one the run was trained for, or lies beside it. */
  comparison?: string
}

const reportSection = section({
  out: text().optional(),
  comparison: text().optional(),
} satisfies FieldsOf<ReportOptions>)

/** Samples of each kind. */
const maxSamples = 4

/**
 * Writes the report of a run: one HTML file that needs no other and no network.
 *
 * @param runDir folder of a run that has ended, or goes on
 * @returns path of the file
 * @throws MagrpoError `ERR_RUN` if there is no run, or the file cannot be written
 */
export async function writeReport(runDir: string, options: ReportOptions = {}): Promise<string> {
  expectText(runDir, 'runDir of writeReport')
  resolve(reportSection, options, 'The options of writeReport')
  const out = options.out ?? join(runDir, reportFile)
  const html = await renderReport(runDir, options)
  const write = async (file: string) => {
    await rm(file, { force: true })
    await writeFile(file, html, { flag: 'wx' })
  }
  // A place that was named may be a link or a device; one inside the run folder is replaced, whatever it is.
  await (options.out === undefined ? replaceFile(out, write) : writeFile(out, html)).catch((cause: unknown) => {
    throw cannotWrite(out, cause)
  })
  return out
}

/** Name of the report in its run folder. */
export const reportFile = 'report.html'

/** The report as HTML; see {@link writeReport}. */
export async function renderReport(runDir: string, { comparison }: ReportOptions = {}): Promise<string> {
  await refuseNewerRun(runDir)
  const name = runDir.split(/[\\/]/).filter(Boolean).at(-1) ?? 'run'
  const reader = new RunReader(runDir, runDir, name)
  await reader.refresh()
  if (reader.setup.configText === '' && reader.summary.names.length === 0)
    throw new MagrpoError(
      'ERR_RUN',
      `Expected the folder of a run, but ${runDir} has no config.yaml and no metrics. Give the folder that --run-dir named.`,
      { details: { path: runDir } },
    )
  const [styles, ...scripts] = await Promise.all(
    ['charts.css', 'chart.js', 'hover.js', 'theme.js'].map((file) =>
      readFile(new URL(`../watch/page/${file}`, import.meta.url), 'utf8'),
    ),
  )
  return reportPage({
    reader,
    samples: await chooseSamples(reader),
    comparison: await findComparison(runDir, comparison),
    styles: styles!,
    scripts: scripts.map(withoutModules).join('\n'),
  })
}

/** First and last samples of each phase: before and after. */
async function chooseSamples(reader: RunReader): Promise<ReportContent['samples']> {
  const titles = { eval: 'Held-out items', greedy: 'Held-out items, greedy', train: 'Training' }
  const samples: ReportContent['samples'] = []
  for (const [phase, title] of Object.entries(titles)) {
    const own = reader.sampleGroups.filter((group) => group.phase === phase)
    for (const { step } of own.filter((_, index) => index === 0 || index === own.length - 1)) {
      const rows = await reader.samples(step, phase)
      samples.push({ title: `${title}, step ${step}`, rows: rows.slice(0, maxSamples) })
    }
  }
  return samples
}

/**
 * The comparison that belongs to a run: the given one, else one that lies in the run folder, else the one whose `runs` the run is
 * among.
 *
 * @throws MagrpoError `ERR_RUN` or `ERR_DATA` if the given folder holds no finished comparison
 */
async function findComparison(runDir: string, given?: string): Promise<Comparison | null> {
  const places = [join(runDir, 'comparison'), runDir, join(runDir, '..', '..')]
  const folder = given ?? places.find((place) => existsSync(join(place, comparisonFiles.comparison)))
  return folder === undefined ? null : readComparison(folder)
}

/** The text of a module as part of a plain script: all its names are known there. */
function withoutModules(text: string): string {
  return text.replace(/^import [\s\S]*? from '[^']*'$/gm, '').replace(/^export (?=(const|function) )/gm, '')
}
