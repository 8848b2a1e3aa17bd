/** The report as one HTML page. */

import { createHash } from 'node:crypto'
import type { SampleRow } from '../rl/types/reports.ts'
import {
  type ChartSpec,
  drawChart,
  drawLegend,
  element,
  formatValue,
  type Tree,
  toMarkup,
} from '../watch/page/chart.js'
import { factsTree, table } from '../watch/page/details.js'
import { chartOf, namesOf, type Panel, panelsOf } from '../watch/page/panels.js'
import { sampleTree } from '../watch/page/samples.js'
import type { RunReader } from '../watch/run-reader.ts'
import { comparisonPicture } from './comparison/picture.ts'
import { notesOf, tablesOf } from './comparison/tables.ts'
import type { Comparison } from './comparison/types.ts'

/** Points of a curve. */
const points = 400

/** Markup that is finished; everything else is escaped when it is put in. */
type Markup = { markup: string }

const raw = (markup: string): Markup => ({ markup })
const tree = (...trees: (Tree | string)[]): Markup => raw(trees.map(toMarkup).join(''))

/** Styles of the report alone. */
const styles = `
main { max-width: 1180px; margin: 0 auto; padding: 24px 20px 60px; }
main > section { margin-top: 30px; }
header.top { display: flex; flex-wrap: wrap; gap: 8px 14px; align-items: center; }
header.top h1 { font-size: 24px; margin-right: auto; overflow-wrap: anywhere; }
.figures { display: flex; flex-wrap: wrap; gap: 10px 34px; margin: 18px 0 0; }
.figures div { min-width: 0; }
.figures dt { color: var(--quiet); font-size: 12px; }
.figures dd { margin: 0; font-size: 19px; font-weight: 600; }
.picture { overflow-x: auto; }
`

const boot = `
const specs = JSON.parse(document.getElementById('chart-data').textContent)
for (const [index, figure] of document.querySelectorAll('figure').entries()) readable(figure, () => specs[index])
themeButton(document.getElementById('theme'))
document.getElementById('theme').hidden = false
`

/** The page; see `writeReport`. */
export function reportPage({ reader, samples, comparison, styles: shared, scripts }: ReportContent): string {
  const { summary, setup, result } = reader
  const panels = panelsOf(summary.names, summary.agents)
  const main = panels.filter(({ isMain }) => isMain).map((panel) => specOf(panel, reader))
  const rest = panels.filter(({ isMain }) => !isMain).map((panel) => specOf(panel, reader))
  const picture = comparison && comparisonPicture(comparison)
  const status = typeof result?.reason === 'string' ? result.reason : summary.status
  const style = `${shared}${styles}`
  const script = `${scripts}\n${boot}`
  const sections: (Markup | false)[] = [
    raw('<main>'),
    tree(
      element(
        'header',
        { class: 'top' },
        element('h1', {}, summary.name),
        element('span', { class: `status ${status}` }, status),
        element('button', { id: 'theme', type: 'button', hidden: '' }, 'theme'),
      ),
      figuresTree(reader),
      ...[...summary.notes, ...summary.warnings].map((text) => element('p', { class: 'note' }, text)),
    ),
    section('Before and after', tree(beforeAfter(reader))),
    section('Curves', tree(element('div', { class: 'charts' }, ...main.map(figureTree)))),
    comparison !== null &&
      section(
        'Comparison',
        tree(
          ...tablesOf(comparison).flatMap(({ title, header, rows }) => [element('h3', {}, title), table(header, rows)]),
          element('ul', {}, ...notesOf(comparison).map((note) => element('li', {}, note))),
        ),
        raw(`<div class="picture">${picture}</div>`),
      ),
    section(
      'Samples',
      ...samples.map(({ title, rows }) => tree(element('h3', {}, title), ...rows.map(sampleTree))),
      samples.length === 0 && tree(element('p', {}, 'No samples were logged.')),
    ),
    section('To do it again', tree(...reproduction(reader))),
    section(
      'Configuration',
      tree(
        element('pre', { tabindex: 0 }, setup.configText),
        element('h3', {}, 'environment.json'),
        factsTree(setup.environment),
      ),
    ),
    rest.length > 0 &&
      section(
        'All other metrics',
        tree(
          element(
            'details',
            {},
            element('summary', {}, `${rest.length} more curves`),
            element('div', { class: 'charts' }, ...rest.map(figureTree)),
          ),
        ),
      ),
    raw('</main>'),
  ]
  const policy = `default-src 'none'; img-src data:; style-src '${hash(style)}' '${hash(picture === null ? style : styleOf(picture))}'; script-src '${hash(script)}'; base-uri 'none'; form-action 'none'`
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    `<meta http-equiv="content-security-policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    toMarkup(element('title', {}, `${summary.name}: magrpo report`)),
    `<style>${style}</style>`,
    '</head>',
    '<body>',
    ...sections.filter((each) => each !== false).map(({ markup }) => markup),
    `<script type="application/json" id="chart-data">${jsonText([...main, ...rest])}</script>`,
    `<script type="module">${script}</script>`,
    '</body>',
    '</html>',
    '',
  ].join('\n')
}

function section(title: string, ...content: (Markup | false)[]): Markup {
  const inner = content.filter((each) => each !== false).map(({ markup }) => markup)
  return raw(`<section>${toMarkup(element('h2', {}, title))}${inner.join('\n')}</section>`)
}

function specOf(panel: Panel, reader: RunReader): ChartSpec {
  const series = Object.fromEntries(namesOf([panel]).map((name) => [name, reader.series(name, points)]))
  return chartOf(panel, [{ label: reader.summary.name, color: 0, series }])
}

function figureTree(spec: ChartSpec): Tree {
  return element(
    'figure',
    { tabindex: 0 },
    element('figcaption', {}, spec.title, ...(spec.note === undefined ? [] : [element('small', {}, spec.note)])),
    drawChart(spec),
    drawLegend(spec),
    element('div', { class: 'reading', role: 'status' }),
  )
}

function figuresTree({ summary, result, setup }: RunReader): Tree {
  const { done, steps, task, algorithm, agents } = summary
  const facts = {
    task,
    algorithm,
    agents: agents.join(', '),
    steps: steps === null || steps === done ? done : `${done} of ${steps}`,
    took: typeof result?.seconds === 'number' ? duration(result.seconds) : null,
    seed: setup.config.seed,
    began: summary.startedAt?.replace('T', ' ').slice(0, 16),
  }
  const shown = Object.entries(facts).filter(([, value]) => value !== undefined && value !== null && value !== '')
  return element(
    'dl',
    { class: 'figures' },
    ...shown.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, String(value)))),
  )
}

/** First and last values of what was measured on held-out items, else in training. */
function beforeAfter(reader: RunReader): Tree {
  const { names } = reader.summary
  const isScore = /^(eval\/(greedy\/)?)(reward|task)\/|^eval\/(greedy\/)?completion\/(length_mean|truncated_share)$/
  const held = names.filter((name) => isScore.test(name) && !/_(min|max|std)$|stderr|group_std|\/std$/.test(name))
  const train = names.filter((name) => /^reward\//.test(name) && !/\/(std|group_std)$/.test(name))
  // Where no reward ever abstains there is nothing to say of it.
  const isNews = (name: string) =>
    !/(abstained|skipped_group)_share$/.test(name) || reader.ends(name)!.some((share) => share > 0)
  const shown = (held.some((name) => isMoving(reader, name)) ? held : [...held, ...train]).filter(isNews)
  if (shown.length === 0) return element('p', {}, 'Nothing was measured.')
  const isReward = (name: string) => name.includes('reward/')
  const rows = (names: readonly string[]) =>
    table(
      ['metric', 'first', 'last', 'change'],
      names.map((name) => changeRow(reader, name)),
    )
  const others = shown.filter((name) => !isReward(name))
  return element(
    'div',
    {},
    rows(shown.filter(isReward)),
    element('p', {}, 'First and last time each was measured; ± is one standard error over held-out items.'),
    ...(others.length === 0
      ? []
      : [element('details', {}, element('summary', {}, `${others.length} more measurements`), rows(others))]),
  )
}

/** A metric, its first and last value with their errors, and the change. */
function changeRow(reader: RunReader, name: string): string[] {
  const [first, last] = reader.ends(name)!
  const error = name.endsWith('reward/mean') ? reader.ends(name.replace(/mean$/, 'stderr')) : undefined
  const around = (value: number, half: number | undefined) =>
    half === undefined ? formatValue(value) : `${formatValue(value)} ± ${formatValue(half)}`
  const change = last - first
  const sign = change > 0 ? '+' : change < 0 ? '−' : ''
  return [name, around(first, error?.[0]), around(last, error?.[1]), sign + formatValue(Math.abs(change))]
}

/** Whether a metric was measured more than once. */
const isMoving = (reader: RunReader, name: string) => (reader.series(name, 2)?.step.length ?? 0) > 1

function reproduction({ setup, summary }: RunReader): Tree[] {
  const { environment } = setup
  const args = Array.isArray(environment.arguments) ? environment.arguments.map(String) : []
  const version = typeof environment.magrpo === 'string' ? environment.magrpo : 'unknown'
  const isCommand = args[0] === 'train' || args[0] === 'resume'
  const commands = isCommand
    ? `magrpo ${args.map(quoted).join(' ')}\n\n# or, with the configuration below, which has every default filled in\nnpx magrpo@${version} train config.yaml --run-dir runs/${quoted(summary.name)}-again`
    : `# begun by a program: node ${args.map(quoted).join(' ')}`
  const where = typeof environment.cwd === 'string' ? `in ${environment.cwd}` : 'in its folder'
  return [
    element('p', {}, `magrpo ${version}, ${where}:`),
    element('pre', { tabindex: 0 }, commands),
    element(
      'p',
      {},
      'The same versions, threads and kernels on the same kind of machine give the same numbers; they are listed under environment.json.',
    ),
  ]
}

const quoted = (text: string) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  return `${(seconds / 3600).toFixed(1)} h`
}

/** JSON that may stand in a script element. */
const jsonText = (value: unknown) => JSON.stringify(value).replaceAll('<', '\\u003c')

const styleOf = (svg: string) => /<style>([\s\S]*?)<\/style>/.exec(svg)?.[1] ?? ''
const hash = (text: string) => `sha256-${createHash('sha256').update(text).digest('base64')}`

/** What a report is made of. */
export interface ReportContent {
  reader: RunReader
  /** Samples by heading, in order. */
  samples: { title: string; rows: SampleRow[] }[]
  /** The comparison that belongs to the run. */
  comparison: Comparison | null
  styles: string
  scripts: string
}
