/** Reading values off a chart, with the pointer or the arrow keys. */
import { chartSize, layoutOf, nearest, stepsOf, valuesAt } from './chart.js'

/**
 * Makes a figure tell what stands at the step under the pointer; a focused one is walked with the arrow keys.
 *
 * @param {HTMLElement} figure holds the chart's `svg` and an element of class `reading`
 * @param {() => import('./chart.js').ChartSpec} specOf the chart as it is now
 * @returns {() => void} draws the reading again after the chart was replaced
 */
export function readable(figure, specOf) {
  let step
  const show = () => {
    const spec = specOf()
    const svg = figure.querySelector('svg')
    const reading = figure.querySelector('.reading')
    svg?.querySelector('.cursor')?.remove()
    const values = step === undefined ? [] : valuesAt(spec, step)
    figure.classList.toggle('is-read', values.length > 0)
    if (values.length === 0) return reading.replaceChildren()
    const at = document.createElement('b')
    at.textContent = `step ${step}`
    reading.replaceChildren(at, ...values.map(readingOf))
    const cursor = document.createElementNS('http://www.w3.org/2000/svg', 'line')
    const x = layoutOf(spec).x(step)
    const places = { x1: x, x2: x, y1: chartSize.top, y2: chartSize.height - chartSize.bottom }
    for (const [name, value] of Object.entries(places)) cursor.setAttribute(name, String(value))
    cursor.setAttribute('class', 'cursor')
    svg.append(cursor)
  }
  const moveTo = (next) => {
    step = next
    show()
  }
  figure.addEventListener('pointermove', (event) => {
    const svg = figure.querySelector('svg')
    if (!svg?.contains(event.target)) return
    const box = svg.getBoundingClientRect()
    const steps = stepsOf(specOf())
    const wanted = layoutOf(specOf()).stepAt(((event.clientX - box.left) / box.width) * chartSize.width)
    moveTo(steps[nearest(steps, wanted)])
  })
  figure.addEventListener('pointerleave', () => moveTo(undefined))
  figure.addEventListener('blur', () => moveTo(undefined))
  figure.addEventListener('keydown', (event) => {
    const steps = stepsOf(specOf())
    const index = step === undefined ? steps.length : nearest(steps, step)
    const places = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: steps.length - 1 }
    if (event.key === 'Escape') return moveTo(undefined)
    if (!Object.hasOwn(places, event.key) || steps.length === 0) return
    event.preventDefault()
    moveTo(steps[Math.min(steps.length - 1, Math.max(0, places[event.key]))])
  })
  return show
}

function readingOf({ label, color, text }) {
  const part = document.createElement('span')
  part.className = `series-${color}`
  part.textContent = `${label} ${text}`
  return part
}
