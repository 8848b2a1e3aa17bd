/**
 * Line charts as trees of SVG elements: plain functions of their data, for browsers (the live page) and Node (the report).
 *
 * @typedef {{ tag: string, attributes: Record<string, string | number>, children: (Tree | string)[] }} Tree
 * @typedef {{
 *   label: string, color: number, dash?: number, dots?: boolean,
 *   step: number[], value: number[], low?: number[], high?: number[],
 * }} Line `low` and `high` bound a band; `color` counts from 0 to 7, `dash` from 0 to 3
 * @typedef {{
 *   title: string, unit?: 'bytes' | 'share', note?: string, stacked?: boolean, lines: Line[],
 *   legend: { label: string, color?: number, dash?: number }[],
 * }} ChartSpec
 */

export const chartSize = { width: 380, height: 190, left: 50, right: 12, top: 10, bottom: 28 }

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Tree | string)} children
 * @returns {Tree}
 */
export function element(tag, attributes, ...children) {
  return { tag, attributes, children }
}

/**
 * A number for people: three digits that matter, `k`, `M` and `G` for large ones, binary units for bytes, percent for shares.
 *
 * @param {number} value
 * @param {'bytes' | 'share' | undefined} [unit]
 */
export function formatValue(value, unit) {
  if (typeof value !== 'number' || !Number.isFinite(value)) return '–'
  if (unit === 'share') return `${trim((100 * value).toFixed(1))} %`
  const size = Math.abs(value)
  const base = unit === 'bytes' ? 1024 : 1000
  const units = unit === 'bytes' ? [' B', ' KiB', ' MiB', ' GiB', ' TiB'] : ['', 'k', 'M', 'G', 'T']
  if (size === 0) return `0${units[0]}`
  if (size < 1e-3) return value.toExponential(1)
  if (size < base) return `${trim(value.toPrecision(3))}${units[0]}`
  const power = Math.min(units.length - 1, Math.floor(Math.log(size) / Math.log(base)))
  return `${trim((value / base ** power).toPrecision(3))}${units[power]}`
}

/** @param {string} text */
function trim(text) {
  return text.includes('.') && !text.includes('e') ? text.replace(/\.?0+$/, '') : text
}

/**
 * About `count` round numbers from `from` to `to`.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} count
 */
export function ticksOf(from, to, count) {
  const rough = (to - from) / Math.max(1, count)
  // Ends that differ by rounding alone leave no room for a number between them.
  if (!(rough > Number.EPSILON * 16 * Math.max(Math.abs(from), Math.abs(to)))) return [from]
  const power = 10 ** Math.floor(Math.log10(rough))
  const size = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power
  const ticks = []
  for (let index = Math.ceil(from / size - 1e-9); index * size <= to + size * 1e-9; index++)
    ticks.push(index * size + 0)
  return ticks
}

/**
 * Where things are in a chart.
 *
 * @param {ChartSpec} spec
 */
export function layoutOf(spec) {
  const lines = spec.stacked ? stack(spec.lines) : spec.lines
  const { width, height, left, right, top, bottom } = chartSize
  const [firstStep, lastStep] = extent(lines.flatMap(({ step }) => [step[0], step.at(-1)]))
  const values = extent(lines.flatMap(({ value, low = [], high = [] }) => [...value, ...low, ...high]))
  const [low, high] = spec.unit === 'share' ? [Math.min(0, values[0]), Math.max(1, values[1])] : padded(values)
  const span = lastStep - firstStep || 1
  return {
    lines,
    isEmpty: lines.every(({ step }) => step.length === 0),
    steps: [firstStep, lastStep],
    values: [low, high],
    /** @param {number} step */
    x: (step) => left + ((step - firstStep) / span) * (width - left - right),
    /** @param {number} value */
    y: (value) => top + (1 - (value - low) / (high - low)) * (height - top - bottom),
    /** @param {number} x */
    stepAt: (x) => firstStep + ((x - left) / (width - left - right)) * span,
  }
}

/**
 * The smallest and the largest number, those left out that are not finite.
 *
 * @param {(number | null | undefined)[]} numbers
 */
function extent(numbers) {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const number of numbers.filter(Number.isFinite)) {
    if (number < low) low = number
    if (number > high) high = number
  }
  return low <= high ? [low, high] : [0, 1]
}

/** @param {number[]} range */
function padded([low, high]) {
  if (low === high) return low === 0 ? [0, 1] : [low - Math.abs(low) * 0.1, high + Math.abs(high) * 0.1]
  const room = (high - low) * 0.06
  return [low >= 0 && low - room < 0 ? 0 : low - room, high + room]
}

/**
 * Lines on top of each other, each with the band it adds. Lines are taken to have the same steps.
 *
 * @param {Line[]} lines
 */
function stack(lines) {
  const base = new Map()
  return lines.map((line) => {
    const low = line.step.map((step) => base.get(step) ?? 0)
    const high = line.value.map((value, index) => low[index] + value)
    for (const [index, step] of line.step.entries()) base.set(step, high[index])
    return { ...line, shown: line.value, value: high, low, high }
  })
}

/**
 * The chart as an SVG tree.
 *
 * @param {ChartSpec} spec
 * @returns {Tree}
 */
export function drawChart(spec) {
  const { width, height } = chartSize
  const layout = layoutOf(spec)
  const attributes = { viewBox: `0 0 ${width} ${height}`, class: 'chart', role: 'img', 'aria-label': summaryOf(spec) }
  if (layout.isEmpty)
    return element('svg', attributes, element('text', { class: 'empty', x: width / 2, y: height / 2 }, 'nothing yet'))
  return element(
    'svg',
    attributes,
    ...drawAxes(layout, spec.unit),
    ...layout.lines.filter(({ low }) => low).map((line) => drawBand(line, layout, spec.stacked)),
    ...layout.lines.flatMap((line) => drawLine(line, layout)),
  )
}

/**
 * The chart in a sentence.
 *
 * @param {ChartSpec} spec
 */
export function summaryOf({ title, unit, lines }) {
  const texts = lines
    .filter(({ value }) => value.length > 0)
    .map(({ label, value }) => {
      return `${label} from ${formatValue(value[0], unit)} to ${formatValue(value.at(-1), unit)}`
    })
  return `${title}: ${texts.join('; ') || 'nothing yet'}`
}

function drawAxes({ steps, values, x, y }, unit) {
  const { width, height, left, right, bottom } = chartSize
  const size = unit === 'bytes' ? 1024 ** Math.max(0, Math.floor(Math.log(Math.max(1, values[1])) / Math.log(1024))) : 1
  const ticks = ticksOf(values[0] / size, values[1] / size, 5).map((tick) => tick * size)
  const rows = ticks.map((value) => [
    element('line', { class: 'grid', x1: left, x2: width - right, y1: round(y(value)), y2: round(y(value)) }),
    element('text', { class: 'tick value', x: left - 6, y: round(y(value) + 3.5) }, formatValue(value, unit)),
  ])
  const columns = ticksOf(steps[0], steps[1], 6)
    .filter(Number.isInteger)
    .map((step) => element('text', { class: 'tick', x: round(x(step)), y: height - bottom + 16 }, formatValue(step)))
  return [...rows.flat(), ...columns]
}

function drawBand(line, { x, y }, isStacked) {
  const points = line.step.map((step, index) => ({ step, low: line.low[index], high: line.high[index] }))
  const known = points.filter(({ low, high }) => Number.isFinite(low) && Number.isFinite(high))
  const up = known.map(({ step, high }) => `${round(x(step))} ${round(y(high))}`)
  const down = known.map(({ step, low }) => `${round(x(step))} ${round(y(low))}`).reverse()
  const path = known.length === 0 ? '' : `M${[...up, ...down].join('L')}Z`
  return element('path', { class: `${isStacked ? 'area' : 'band'} series-${line.color}`, d: path })
}

function drawLine({ step, value, color, dash = 0, dots }, { x, y }) {
  const points = step.map((at, index) => [at, value[index]]).filter(([, each]) => Number.isFinite(each))
  const places = points.map(([at, each]) => `${round(x(at))} ${round(y(each))}`)
  const kind = `series-${color} dash-${dash}`
  const line = element('path', { class: `line ${kind}`, d: places.length === 0 ? '' : `M${places.join('L')}` })
  // A single point would not show as a line.
  if (!dots && points.length > 1) return [line]
  return [
    line,
    ...points.map(([at, each]) => element('circle', { class: kind, cx: round(x(at)), cy: round(y(each)), r: 2.6 })),
  ]
}

/**
 * What stands at a step: for each line the nearest point.
 *
 * @param {ChartSpec} spec
 * @param {number} step
 */
export function valuesAt({ lines, unit }, step) {
  return lines.flatMap(({ label, color, step: steps, value, low, high }) => {
    const index = nearest(steps, step)
    if (index === -1) return []
    const isBand = low !== undefined && low[index] !== high[index]
    const range = isBand ? ` (${formatValue(low[index], unit)} … ${formatValue(high[index], unit)})` : ''
    return [{ label, color, step: steps[index], text: formatValue(value[index], unit) + range }]
  })
}

/**
 * All steps of a chart, ascending.
 *
 * @param {ChartSpec} spec
 */
export function stepsOf({ lines }) {
  return [...new Set(lines.flatMap(({ step }) => step))].sort((a, b) => a - b)
}

/** Index of the element nearest to a value in an ascending list, -1 in an empty one. */
export function nearest(sorted, value) {
  if (sorted.length === 0) return -1
  let [low, high] = [0, sorted.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if (sorted[middle] < value) low = middle + 1
    else high = middle
  }
  return low > 0 && value - sorted[low - 1] <= sorted[low] - value ? low - 1 : low
}

/** @param {number} value */
function round(value) {
  return Math.round(10 * value) / 10
}

/**
 * What colours and dashes stand for.
 *
 * @param {ChartSpec} spec
 * @returns {Tree}
 */
export function drawLegend({ legend }) {
  const sample = (dash) =>
    element(
      'svg',
      { viewBox: '0 0 18 8', class: 'chart key', 'aria-hidden': 'true' },
      element('path', { class: `line dash-${dash}`, d: 'M0 4H18' }),
    )
  const entries = legend.map(({ label, color, dash }) =>
    element('span', color === undefined ? {} : { class: `series-${color}` }, sample(dash ?? 0), label),
  )
  return element('div', { class: 'legend' }, ...entries)
}

/**
 * A tree as markup. Everything is escaped; what XML cannot hold is dropped. Every element is closed, so none may be void.
 *
 * @param {Tree | string} tree
 * @returns {string}
 */
export function toMarkup(tree) {
  if (typeof tree === 'string') return escapeText(tree)
  const attributes = Object.entries(tree.attributes).map(([name, value]) => ` ${name}="${escapeText(String(value))}"`)
  return `<${tree.tag}${attributes.join('')}>${tree.children.map(toMarkup).join('')}</${tree.tag}>`
}

/** @param {string} text */
export function escapeText(text) {
  const signs = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
  return text.replace(/[^\P{Control}\n\t]/gu, '\uFFFD').replace(/[&<>"']/g, (sign) => signs[sign])
}
