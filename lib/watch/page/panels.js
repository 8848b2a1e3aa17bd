/**
 * Which charts a run gets, from the names of its metrics.
 *
 * @typedef {{ name: string, label: string, band?: { half: string } | undefined, dash?: number, dots?: boolean }} PanelLine
 *   `half` names the metric that is half the band's height
 * @typedef {{
 *   key: string, title: string, note?: string, unit?: 'bytes' | 'share', stacked?: boolean, isMain: boolean, lines: PanelLine[],
 *   split?: boolean,
 * }} Panel `split`: a panel a line where several runs are shown
 */

/** Names under `reward/` that are no parts. */
const aggregates =
  /^reward\/(mean|std|group_std|zero_variance_share|skipped_group_share|abstained_share|retries|stderr|turn_\d+\/mean)$/
const cooperation = /^task\/cooperation\/(?!examined$|p0$|p_|usefulness$|calls_per_test$|confirmed_)/

/**
 * @param {readonly string[]} names names of all metrics and timings
 * @param {readonly string[]} agents
 * @param {boolean} [isSingle] whether one run is shown; several get a chart for each reward part
 * @returns {Panel[]} the main ones first
 */
export function panelsOf(names, agents, isSingle = true) {
  const has = new Set(names)
  const line = (name, label, more = {}) => ({ name, label, ...more })
  const matching = (pattern, cut) => names.filter((name) => pattern.test(name)).map((name) => line(name, cut(name)))
  const perAgent = (name, bandName) => {
    const own = agents.filter((agent) => has.has(`${name}/${agent}`))
    const band = (suffix) => (bandName && has.has(bandName + suffix) ? { half: bandName + suffix } : undefined)
    if (own.length === 0) return has.has(name) ? [line(name, 'all agents', { band: band('') })] : []
    return own.map((agent) => line(`${name}/${agent}`, agent, { band: band(`/${agent}`) }))
  }
  const known = (...lines) => lines.filter(({ name }) => has.has(name))
  const last = (count) => (name) => name.split('/').slice(count).join('/')
  const main = [
    {
      title: 'Reward',
      note: 'mean of a step; band: one standard deviation',
      lines: known(line('reward/mean', 'mean', { band: { half: 'reward/std' } })),
    },
    {
      title: 'Held-out reward',
      note: 'band: one standard error',
      lines: known(
        line('eval/reward/mean', 'sampled', { band: { half: 'eval/reward/stderr' }, dots: true }),
        line('eval/greedy/reward/mean', 'greedy', { dots: true, dash: 1 }),
      ),
    },
    {
      title: 'Reward parts',
      split: true,
      lines: matching(/^reward\//, last(1)).filter(({ name }) => !aggregates.test(name)),
    },
    {
      title: 'Reward by turn',
      split: true,
      lines: matching(/^reward\/turn_\d+\/mean$/, (name) => name.split('/')[1].replace('_', ' ')),
    },
    { title: 'Cooperation schemes', unit: 'share', stacked: true, split: true, lines: matching(cooperation, last(2)) },
    {
      title: 'Completion length',
      note: 'tokens; band: one standard deviation',
      lines: perAgent('completion/length_mean', 'completion/length_std'),
    },
    { title: 'Completions cut off', unit: 'share', lines: perAgent('completion/truncated_share') },
    { title: 'Entropy', note: 'nats a token', lines: perAgent('policy/entropy') },
    { title: 'KL to the reference', lines: perAgent('policy/kl') },
    { title: 'Gradient norm', note: 'before clipping', lines: perAgent('train/grad_norm') },
    { title: 'Critic loss', lines: perAgent('critic/loss') },
    {
      title: 'Tokens per second',
      lines: known(line('time/generate_tokens_per_s', 'generate'), line('time/update_tokens_per_s', 'update')),
    },
    {
      title: 'Memory',
      unit: 'bytes',
      lines: known(line('memory/rss_bytes', 'resident'), line('memory/device_bytes', 'device')),
    },
    { title: 'Groups with equal rewards', unit: 'share', lines: known(line('reward/zero_variance_share', 'share')) },
    {
      title: 'Rewards that abstained',
      unit: 'share',
      isMain: false,
      lines: known(line('reward/abstained_share', 'share')),
    },
    { title: 'Learning rate', isMain: false, lines: known(line('train/learning_rate', 'learning rate')) },
    {
      title: 'Seconds a step',
      isMain: false,
      lines: known(
        line('time/generate_s', 'generate'),
        line('time/reward_s', 'reward'),
        line('time/update_s', 'update'),
        line('time/step_s', 'whole step'),
      ),
    },
  ]
    .filter(({ lines }) => lines.length > 0)
    .flatMap((panel) => (panel.split && !isSingle ? splitOf(panel) : [panel]))
    .map((panel) => ({ isMain: true, ...panel, key: panel.title }))
  const shown = new Set(namesOf(main))
  const rest = names
    .filter((name) => !shown.has(name))
    .map((name) => ({ key: `metric ${name}`, title: name, isMain: false, lines: [line(name, name)] }))
  return [...main, ...rest]
}

const splitOf = (panel) =>
  panel.lines.map((line) => ({ ...panel, title: `${panel.title}: ${line.label}`, stacked: false, lines: [line] }))

/**
 * Names of the metrics that panels need.
 *
 * @param {readonly Panel[]} panels
 */
export function namesOf(panels) {
  const lines = panels.flatMap((panel) => panel.lines)
  return [...new Set(lines.flatMap(({ name, band }) => (band ? [name, band.half] : [name])))]
}

/**
 * A panel with the data of some runs, as a chart. One run has a colour a line; several have a colour each, and dashes tell their
 * lines apart.
 *
 * @param {Panel} panel
 * @param {readonly { label: string, color: number, series: Record<string, import('./chart.js').Line | undefined> }[]} runs
 * @param {number} [smoothing] weight of what came before, from 0 to below 1
 * @returns {import('./chart.js').ChartSpec}
 */
export function chartOf(panel, runs, smoothing = 0) {
  const isSingle = runs.length === 1
  const lines = runs.flatMap((run) =>
    panel.lines.flatMap(({ name, label, band, dash, dots }, index) => {
      const series = run.series[name]
      if (series === undefined) return []
      const isOnly = panel.lines.length === 1
      const value = panel.stacked ? series.value : smooth(series.value, smoothing)
      return {
        label: isSingle ? label : isOnly ? run.label : `${run.label}: ${label}`,
        color: isSingle ? index % 8 : run.color,
        dash: isSingle ? (dash ?? Math.floor(index / 8)) : index % 4,
        dots: dots && series.step.length < 60,
        step: series.step,
        value,
        ...bandOf({ ...series, value }, band && run.series[band.half], smoothing),
      }
    }),
  )
  const { title, note, unit } = panel
  return { title, note, unit, stacked: panel.stacked && isSingle, lines, legend: legendOf(panel, runs, lines) }
}

/** One run: its lines. Several: runs by colour and, if there is more than one line, lines by dash. */
function legendOf(panel, runs, lines) {
  if (runs.length === 1) return lines.map(({ label, color, dash }) => ({ label, color, dash }))
  const shown = runs.filter(({ series }) => panel.lines.some(({ name }) => series[name] !== undefined))
  const byColor = shown.map(({ label, color }) => ({ label, color }))
  const byDash = panel.lines.map(({ label }, index) => ({ label, dash: index % 4 }))
  return panel.lines.length === 1 ? byColor : [...byColor, ...byDash]
}

/** Half a height around a value, else the extremes that were joined in a point. */
function bandOf({ step, value, low, high }, half, smoothing) {
  if (half === undefined) return low === undefined ? {} : { low, high }
  const smoothed = smooth(half.value, smoothing)
  const halves = new Map(half.step.map((at, index) => [at, smoothed[index]]))
  const around = (sign) => step.map((at, index) => value[index] + sign * (halves.get(at) ?? 0))
  return { low: around(-1), high: around(1) }
}

/**
 * Exponential moving average, corrected for its start.
 *
 * @param {readonly number[]} values
 * @param {number} weight of what came before
 */
export function smooth(values, weight) {
  if (!(weight > 0)) return [...values]
  let [sum, total] = [0, 0]
  return values.map((value) => {
    if (!Number.isFinite(value)) return value
    sum = weight * sum + (1 - weight) * value
    total = weight * total + (1 - weight)
    return sum / total
  })
}
