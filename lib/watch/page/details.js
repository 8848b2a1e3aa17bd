/** Tables as trees: runs side by side, and what a run was set up with. */
import { element, formatValue } from './chart.js'

/**
 * A nested object as one with dotted keys.
 *
 * @param {unknown} value
 * @param {string} [prefix]
 * @returns {Record<string, string>}
 */
export function flatten(value, prefix = '') {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Object.keys(value).length === 0)
    return { [prefix]: typeof value === 'string' ? value : (JSON.stringify(value) ?? '') }
  const parts = Object.entries(value).map(([key, inner]) => flatten(inner, prefix === '' ? key : `${prefix}.${key}`))
  return Object.assign({}, ...parts)
}

/**
 * Settings in which configurations differ, with the value of each; names and folders are left out.
 *
 * @param {readonly Record<string, unknown>[]} configs
 * @returns {{ key: string, values: string[] }[]}
 */
export function differencesOf(configs) {
  const flat = configs.map((config) => flatten(config))
  const keys = [...new Set(flat.flatMap(Object.keys))].filter((key) => key !== 'name' && key !== 'runDir' && key !== '')
  return keys
    .map((key) => ({ key, values: flat.map((config) => config[key] ?? '–') }))
    .filter(({ values }) => values.some((value) => value !== values[0]))
}

/**
 * A table with a heading row; the first cell of each row names it.
 *
 * @param {readonly string[]} head
 * @param {readonly (readonly (string | import('./chart.js').Tree)[])[]} rows
 */
export function table(head, rows) {
  const cell = (content, index) => element(index === 0 ? 'th' : 'td', index === 0 ? { scope: 'row' } : {}, content)
  return element(
    'div',
    { class: 'table', tabindex: 0 },
    element(
      'table',
      {},
      element('thead', {}, element('tr', {}, ...head.map((text) => element('th', { scope: 'col' }, text)))),
      element('tbody', {}, ...rows.map((row) => element('tr', {}, ...row.map(cell)))),
    ),
  )
}

/**
 * Names and values, nested ones with dotted names.
 *
 * @param {Record<string, unknown>} facts
 */
export function factsTree(facts) {
  const rows = Object.entries(flatten(facts)).filter(([name]) => name !== '')
  return table(['name', 'value'], rows)
}

/**
 * First and last value of a metric, for tables.
 *
 * @param {readonly [number, number] | undefined} ends
 */
export function fromTo(ends) {
  return ends === undefined ? '–' : `${formatValue(ends[0])} → ${formatValue(ends[1])}`
}
