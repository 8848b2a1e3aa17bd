import type { Command } from 'commander'
import type { ReportOptions } from '../report/report.ts'
import { printJson, printLine } from './output.ts'

/** Adds `magrpo report`: a run as one HTML file. */
export function addReportCommand(program: Command): void {
  program
    .command('report')
    .description('write a run as one HTML file that opens from disk')
    .argument('<run>', 'run folder')
    .option('--out <file>', 'where to; report.html in the run folder by default')
    .option('--comparison <folder>', 'also show the tables of what magrpo compare --out kept')
    .option('--json', 'print the path as a JSON line')
    .addHelpText(
      'after',
      `
A run that finishes writes its report by itself.

Example:
  magrpo report runs/story --out story.html`,
    )
    .action(async (run: string, { json = false, ...options }: ReportOptions & { json?: boolean }) => {
      const { writeReport } = await import('../report/report.ts')
      const path = await writeReport(run, options)
      if (json) await printJson({ path })
      else await printLine(path)
    })
}
