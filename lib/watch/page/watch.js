/** The live page: keeps what the server says of the runs, and shows it. */
import { drawChart, drawLegend } from './chart.js'
import { differencesOf, factsTree, fromTo, table } from './details.js'
import { make, toDom } from './dom.js'
import { readable } from './hover.js'
import { chartOf, namesOf, panelsOf } from './panels.js'
import { groupLabel, sampleTree } from './samples.js'
import { themeButton } from './theme.js'

/** Runs shown at first, the newest. */
const shownAtFirst = 6
const byId = (id) => document.getElementById(id)

const state = {
  /** Summaries by id, in the order of the list. */
  runs: new Map(),
  shown: new Set(),
  /** Colour of each run that was ever shown. */
  colors: new Map(),
  /** Curves by run: `{ version, names, series }`. */
  curves: new Map(),
  setups: new Map(),
  smoothing: 0,
  isBegun: false,
}
const figures = new Map()
const samples = { run: undefined, group: undefined, version: -1, groups: [], isFollowing: true }

async function ask(path, parameters) {
  const query = new URLSearchParams(parameters)
  const response = await fetch(`/api/${path}?${query}`)
  if (!response.ok) throw new Error(await response.text())
  return response.json()
}

function takeRuns(runs, isAll) {
  if (isAll) {
    const ids = new Set(runs.map(({ id }) => id))
    for (const id of state.runs.keys()) if (!ids.has(id)) state.runs.delete(id)
    // A server that was started again counts from the start.
    state.curves.clear()
    state.setups.clear()
    samples.version = -1
  }
  for (const run of runs) state.runs.set(run.id, run)
  if (!state.isBegun && state.runs.size > 0) {
    state.isBegun = true
    const newest = [...state.runs.values()].sort((a, b) => (a.changedAt < b.changedAt ? 1 : -1))
    for (const { id } of newest.slice(0, shownAtFirst)) state.shown.add(id)
  } else if (!isAll) {
    for (const { id } of runs) if (!state.colors.has(id) && state.shown.size < shownAtFirst) state.shown.add(id)
  }
  for (const id of state.runs.keys()) if (!state.colors.has(id)) state.colors.set(id, state.colors.size % 8)
  showRuns()
  showNotes()
  update()
}

/** Runs to draw, in the order of the list. */
const shownRuns = () => [...state.runs.values()].filter(({ id }) => state.shown.has(id))

function showRuns() {
  const list = byId('runs')
  const focused = document.activeElement?.dataset?.run
  list.replaceChildren(...[...state.runs.values()].map(runItem))
  if (focused !== undefined) list.querySelector(`[data-run="${CSS.escape(focused)}"]`)?.focus()
  byId('no-runs').hidden = state.runs.size > 0
}

function runItem(run) {
  const { id, name, status, reason, done, steps, reward, evalReward, task, algorithm } = run
  const onchange = ({ target }) => toggle(id, target.checked)
  const facts = [`step ${done}${steps === null ? '' : ` of ${steps}`}`]
  if (reward !== null) facts.push(`reward ${reward.toFixed(3)}`)
  if (evalReward !== null) facts.push(`held-out ${evalReward.toFixed(3)}`)
  return make(
    'li',
    {},
    make(
      'label',
      {},
      make('input', { type: 'checkbox', 'data-run': id, checked: state.shown.has(id), onchange }),
      make('span', { class: `name series-${state.colors.get(id)}` }, labelOf(run)),
      make('span', { class: 'facts' }, make('span', { class: `status ${status}`, title: reason }, status)),
      make('span', { class: 'facts' }, facts.join(', ')),
      make('span', { class: 'facts' }, [task, algorithm].filter(Boolean).join(', ')),
    ),
    make('progress', { max: steps ?? 1, value: steps === null ? 0 : done, 'aria-label': `progress of ${name}` }),
  )
}

/** The name, or the folder, or its whole path: the shortest that no other run has. */
function labelOf(run) {
  const forms = [({ name }) => name, ({ id }) => id.split(/[\\/]/).at(-1)]
  const others = [...state.runs.values()].filter(({ id }) => id !== run.id)
  const form = forms.find((each) => others.every((other) => each(other) !== each(run)))
  return form === undefined ? run.id : form(run)
}

function toggle(id, isShown) {
  if (isShown) state.shown.add(id)
  else state.shown.delete(id)
  showNotes()
  update()
}

function showNotes() {
  const notes = shownRuns().flatMap((run) => {
    const texts = [...run.notes, ...run.warnings]
    if (run.status === 'dead' || run.status === 'failed') texts.unshift(`${run.status}: ${run.reason}`)
    return texts.map((text) => make('p', { class: 'note' }, `${labelOf(run)}: ${text}`))
  })
  byId('notes').replaceChildren(...notes)
  byId('notes').hidden = notes.length === 0
}

let isUpdating = false
let isStale = false

/** Fetches what changed and draws it; calls while it works lead to one more round. */
async function update() {
  isStale = true
  if (isUpdating) return
  isUpdating = true
  try {
    while (isStale) {
      isStale = false
      await updateCurves()
      await updateSamples()
      await updateComparison()
      await updateSetup()
    }
  } catch (error) {
    connection(`trouble: ${error.message}`, true)
  } finally {
    isUpdating = false
  }
}

async function updateCurves() {
  const runs = shownRuns()
  const names = [...new Set(runs.flatMap((run) => run.names))]
  const agents = [...new Set(runs.flatMap((run) => run.agents))]
  const panels = panelsOf(names, agents, runs.length === 1)
  const isOpen = byId('more').open
  const drawn = panels.filter(({ isMain }) => isMain || isOpen)
  await Promise.all(runs.map((run) => fetchCurves(run, namesOf(drawn))))
  const data = runs.map((run) => ({
    label: labelOf(run),
    color: state.colors.get(run.id),
    series: state.curves.get(run.id)?.series ?? {},
  }))
  for (const [place, isMain] of Object.entries({ charts: true, 'more-charts': false })) {
    const own = drawn.filter((panel) => panel.isMain === isMain)
    drawPanels(byId(place), own, data)
  }
  byId('more').hidden = panels.every(({ isMain }) => isMain)
}

async function fetchCurves({ id, version, names }, wanted) {
  const own = wanted.filter((name) => names.includes(name))
  const known = state.curves.get(id)
  if (known?.version === version && own.every((name) => known.series[name])) return
  const parameters = [['run', id], ['points', '300'], ...own.map((name) => ['name', name])]
  const { series } = await ask('metrics', parameters)
  state.curves.set(id, { version, series })
}

function drawPanels(place, panels, data) {
  const wanted = panels.map((panel) => {
    const entry = figures.get(panel.key) ?? newFigure(panel)
    figures.set(panel.key, entry)
    entry.draw(chartOf(panel, data, state.smoothing))
    return entry.figure
  })
  // Figures that stay are not touched: one of them may have the focus.
  if (wanted.length !== place.children.length || wanted.some((figure, index) => place.children[index] !== figure))
    place.replaceChildren(...wanted)
}

function newFigure({ title, note }) {
  let spec = { title, lines: [], legend: [] }
  const holder = make('div')
  const figure = make(
    'figure',
    { tabindex: 0, 'aria-label': `${title}; arrow keys read values` },
    make('figcaption', {}, title, note !== undefined && make('small', {}, note)),
    holder,
    make('div', { class: 'reading', role: 'status' }),
  )
  const showReading = readable(figure, () => spec)
  const draw = (next) => {
    spec = next
    holder.replaceChildren(toDom(drawChart(spec)), toDom(drawLegend(spec)))
    showReading()
  }
  return { figure, draw }
}

async function updateSamples() {
  const runs = shownRuns().filter((run) => run.samples > 0)
  const select = byId('sample-run')
  if (!runs.some(({ id }) => id === samples.run)) {
    samples.run = (runs.find(({ status }) => status === 'running') ?? runs.at(-1))?.id
    samples.version = -1
    samples.group = undefined
  }
  fill(
    select,
    runs.map((run) => [run.id, labelOf(run)]),
    samples.run,
  )
  const run = state.runs.get(samples.run)
  if (run === undefined) {
    byId('samples').replaceChildren(make('p', {}, 'no samples yet'))
    fill(byId('sample-group'), [], undefined)
    return
  }
  if (samples.version === run.version) return
  const wanted = samples.isFollowing ? {} : (samples.group ?? {})
  const { groups, shown, rows } = await ask('samples', { run: run.id, ...wanted })
  samples.version = run.version
  samples.groups = groups
  const shownKey = JSON.stringify([run.id, shown, rows.length])
  const isSame = samples.shownKey === shownKey
  samples.shownKey = shownKey
  samples.group = shown === null ? undefined : { step: shown.step, phase: shown.phase }
  const index = shownIndex()
  fill(
    byId('sample-group'),
    groups.map((group, at) => [String(at), groupLabel(group)]),
    String(index),
  )
  byId('sample-older').disabled = index <= 0
  byId('sample-newer').disabled = index === -1 || index >= groups.length - 1
  if (!isSame) byId('samples').replaceChildren(...rows.map((row) => toDom(sampleTree(row))))
}

const shownIndex = () =>
  samples.groups.findIndex(({ step, phase }) => step === samples.group?.step && phase === samples.group?.phase)

function fill(select, entries, chosen) {
  const mark = JSON.stringify(entries)
  if (select.dataset.mark !== mark) {
    select.dataset.mark = mark
    select.replaceChildren(...entries.map(([value, text]) => make('option', { value }, text)))
  }
  if (chosen !== undefined) select.value = chosen
}

function showGroup(index) {
  const group = samples.groups[index]
  if (group === undefined) return
  samples.group = { step: group.step, phase: group.phase }
  samples.isFollowing = index === samples.groups.length - 1 && samples.isFollowing
  byId('sample-follow').checked = samples.isFollowing
  samples.version = -1
  update()
}

async function setupOf({ id }) {
  const { version } = state.runs.get(id)
  const known = state.setups.get(id)
  if (known?.version === version) return known.setup
  const setup = await ask('setup', { run: id })
  state.setups.set(id, { version, setup })
  return setup
}

async function updateComparison() {
  const runs = shownRuns()
  byId('comparison').hidden = runs.length < 2
  if (runs.length < 2) return
  const setups = await Promise.all(runs.map(setupOf))
  const ends = ({ id }, name) => {
    const value = state.curves.get(id)?.series[name]?.value
    return value === undefined || value.length === 0 ? undefined : [value[0], value.at(-1)]
  }
  const row = (title, cell) => [title, ...runs.map(cell)]
  const rows = [
    row('status', ({ status }) => status),
    row('steps', ({ done, steps }) => `${done}${steps === null ? '' : ` of ${steps}`}`),
    row('reward', (run) => fromTo(ends(run, 'reward/mean'))),
    row('held-out reward', (run) => fromTo(ends(run, 'eval/reward/mean'))),
    row('tokens/s, generate', (run) => fromTo(ends(run, 'time/generate_tokens_per_s'))),
    ...differencesOf(setups.map(({ config }) => config)).map(({ key, values }) => [key, ...values]),
  ]
  byId('comparison-table').replaceChildren(toDom(table(['', ...runs.map(labelOf)], rows)))
}

async function updateSetup() {
  const run = state.runs.get(samples.run) ?? shownRuns()[0]
  if (!byId('setup').open || run === undefined) return
  const { configText, environment } = await setupOf(run)
  byId('setup-content').replaceChildren(
    make('div', {}, make('h3', {}, `config.yaml of ${labelOf(run)}`), make('pre', { tabindex: 0 }, configText)),
    make('div', {}, make('h3', {}, 'environment.json'), toDom(factsTree(environment))),
  )
}

function connection(text, isLost = false) {
  byId('connection').textContent = text
  byId('connection').classList.toggle('lost', isLost)
}

function begin() {
  themeButton(byId('theme'))
  byId('smoothing').addEventListener('input', ({ target }) => {
    state.smoothing = Number(target.value)
    update()
  })
  byId('more').addEventListener('toggle', update)
  byId('setup').addEventListener('toggle', update)
  byId('sample-run').addEventListener('change', ({ target }) => {
    samples.run = target.value
    samples.version = -1
    samples.group = undefined
    update()
  })
  byId('sample-group').addEventListener('change', ({ target }) => {
    samples.isFollowing = false
    showGroup(Number(target.value))
  })
  byId('sample-older').addEventListener('click', () => {
    samples.isFollowing = false
    showGroup(shownIndex() - 1)
  })
  byId('sample-newer').addEventListener('click', () => showGroup(shownIndex() + 1))
  byId('sample-follow').addEventListener('change', ({ target }) => {
    samples.isFollowing = target.checked
    samples.version = -1
    update()
  })
  const events = new EventSource('/api/events')
  events.addEventListener('open', () => connection('live'))
  events.addEventListener('error', () => connection('connection lost, trying again …', true))
  events.addEventListener('runs', ({ data }) => takeRuns(JSON.parse(data).runs, true))
  events.addEventListener('changed', ({ data }) => takeRuns(JSON.parse(data).runs, false))
  events.addEventListener('trouble', ({ data }) => connection(`trouble: ${JSON.parse(data).message}`, true))
}

begin()
