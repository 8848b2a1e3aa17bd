import { formatBytes, formatCount, formatDuration, formatMetric } from '../base/format.ts'
import type { EvalReport, EvalStart, Metrics, SampleRow } from '../rl/types/reports.ts'
import type { RunEnd } from '../rl/types/sink.ts'
import type { ChatMessage } from '../text/messages.ts'
import { sparkline } from './sparkline.ts'
import type { Paint } from './style.ts'
import { displayWidth, pad, plain, truncate, wrap } from './width.ts'

/** What is known of a run while it is shown. */
export interface TrainingState {
  name: string
  /** Steps of the run. */
  steps: number
  agents: readonly string[]
  /** Steps done. */
  done: number
  /** Steps that were done before: those of a resumed run. */
  doneBefore: number
  /** `reward/mean` of every step so far. */
  rewards: readonly number[]
  /** Of the last step. */
  metrics: Metrics
  timings: Metrics
  lastEval: EvalReport | null
  bestEval: EvalReport | null
  /** Held-out items that are played just now; 0 outside of evaluations. */
  evaluating: number
  /** Steps between evaluations; 0: there are none. */
  evalEvery: number
  /** Evaluations shown, and what they took in seconds. */
  evals: { count: number; seconds: number }
  /** Since the run began. */
  seconds: number
}

/** The parts of a line that say something. */
const joined = (...parts: string[]) => parts.filter((part) => part !== '').join('  ')

const labelWidth = 10
const label = (text: string, paint: Paint) => paint('dim', pad(text, labelWidth))

/** The live block: progress, reward with its curve, its parts, phases, completions and memory. */
export function trainingBlock(state: TrainingState, columns: number, paint: Paint): string[] {
  const lines = [progressLine(state, columns, paint), rewardLine(state, columns, paint)]
  const parts = partsText(state.metrics)
  if (parts !== '') lines.push(label('parts', paint) + parts)
  const heldOut = joined(
    state.lastEval ? evalText(state.lastEval, state.bestEval) : '',
    state.evaluating > 0 ? evaluatingText(state.evaluating) : '',
  )
  if (heldOut !== '') lines.push(label('held-out', paint) + heldOut)
  if (state.done > 0) {
    lines.push(label('phases', paint) + phasesText(state.timings))
    lines.push(label('texts', paint) + textsText(state.metrics, state.agents))
    lines.push(label('update', paint) + updateText(state.metrics, state.timings))
  }
  return lines.map((line) => truncate(line, columns))
}

/** One line about a step, for logs. */
export function stepLine(state: TrainingState): string {
  const { done, steps, metrics, timings } = state
  return joined(
    `step ${String(done).padStart(String(steps).length)}/${steps}`,
    `reward ${meanAndStd(metrics)}`,
    `generate ${rate(timings['time/generate_tokens_per_s'])}`,
    `update ${rate(timings['time/update_tokens_per_s'])}`,
    memoryText(timings),
    timeLeft(state),
  )
}

/** One line about an evaluation that begins, for logs. */
export function evalStartLine({ index, items }: EvalStart): string {
  return `held-out after step ${index}: ${evaluatingText(items)}`
}

const evaluatingText = (items: number) => `playing ${items} ${items === 1 ? 'item' : 'items'} …`

/** One line about an evaluation, for logs. */
export function evalLine(report: EvalReport, isBest: boolean): string {
  return `held-out after step ${report.index}: ${evalText(report, null)}${isBest ? ', the best so far' : ''}`
}

/** One line about how a run ended. */
export function endLine({ reason, steps, seconds, best }: RunEnd): string {
  const bestText = best === null ? '' : `; best held-out reward ${formatMetric(best.score)} after step ${best.index}`
  return `${reason} after ${steps} ${steps === 1 ? 'step' : 'steps'} in ${formatDuration(seconds)}${bestText}`
}

/** A joint completion as a table: prompts, what each agent wrote, reward and advantages. */
export function sampleTable(row: SampleRow, columns: number, paint: Paint): string[] {
  const width = Math.max(20, columns - 2)
  const parts = Object.entries(row.parts).map(([name, value]) => `${name} ${formatMetric(value)}`)
  const verdict = row.reward === null ? 'no reward: abstained' : `reward ${formatMetric(row.reward)}`
  const reward = `${verdict}${parts.length > 0 ? ` (${parts.join(', ')})` : ''}`
  const title = `sample of step ${row.step}, item ${row.item}  ${reward}`
  const lines = [paint('dim', '┌ ') + paint('bold', truncate(title, width))]
  const add = (text: string) => lines.push(paint('dim', '│ ') + text)
  const prompts = row.agents.map(({ prompt }) => promptText(prompt))
  const isShared = prompts.every((prompt) => prompt === prompts[0])
  if (isShared) for (const line of wrap(prompts[0] ?? '', width, 4)) add(paint('dim', line))
  for (const [index, agent] of row.agents.entries()) {
    const advantage = agent.advantage === null ? '' : `, advantage ${signed(agent.advantage)}`
    const cut = agent.finish === 'length' ? ', cut off' : ''
    const length = `${agent.tokens} ${agent.tokens === 1 ? 'token' : 'tokens'}`
    add(paint('cyan', truncate(`${plain(agent.name)}: ${length}${advantage}${cut}`, width)))
    if (!isShared) for (const line of wrap(prompts[index]!, width - 2, 3)) add(`  ${paint('dim', line)}`)
    for (const line of wrap(agent.completion.trim(), width - 2, 8)) add(`  ${line}`.trimEnd())
  }
  lines.push(paint('dim', '└'))
  return lines
}

function progressLine(state: TrainingState, columns: number, paint: Paint): string {
  const { name, done, steps } = state
  const left = [formatDuration(state.seconds), timeLeft(state)].filter((part) => part !== '').join(', ')
  const head = `${name}  step ${done}/${steps}`
  const barWidth = Math.max(0, Math.min(30, columns - displayWidth(head) - displayWidth(left) - 4))
  const filled = Math.round((barWidth * done) / Math.max(1, steps))
  // Two characters, so that it can be read without colours.
  const bar = paint('green', '━'.repeat(filled)) + paint('dim', '·'.repeat(barWidth - filled))
  return `${paint('bold', head)}  ${bar}  ${left}`
}

function rewardLine({ metrics, rewards }: TrainingState, columns: number, paint: Paint): string {
  if (rewards.length === 0) return label('reward', paint) + paint('dim', 'waiting for the first step')
  const text = meanAndStd(metrics)
  const equal = metrics['reward/zero_variance_share'] ?? 0
  const abstained = metrics['reward/abstained_share'] ?? 0
  const note = [
    equal > 0 ? `  ${percent(equal)} of groups equal` : '',
    abstained > 0 ? `  ${percent(abstained)} abstained` : '',
  ].join('')
  const room = Math.min(40, columns - labelWidth - displayWidth(text) - displayWidth(note) - 2)
  return `${label('reward', paint)}${paint('bold', text)}  ${paint('green', sparkline(rewards, room))}${note}`
}

/** Names under `reward/` that are no parts. */
const aggregates =
  /^reward\/(mean|std|group_std|zero_variance_share|skipped_group_share|abstained_share|retries|stderr|turn_\d+\/mean)$/

function partsText(metrics: Metrics): string {
  return Object.entries(metrics)
    .filter(([name]) => name.startsWith('reward/') && !aggregates.test(name))
    .map(([name, value]) => `${name.slice('reward/'.length)} ${formatMetric(value)}`)
    .join('  ')
}

function evalText({ index, metrics, score }: EvalReport, best: EvalReport | null): string {
  const error = metrics['eval/reward/stderr']
  const greedy = metrics['eval/greedy/reward/mean']
  const sampled = metrics['eval/reward/mean']
  const parts =
    sampled === undefined
      ? []
      : [`${formatMetric(sampled)}${error === undefined ? '' : ` ± ${formatMetric(error)} (s.e.)`}`]
  const abstained = metrics['eval/reward/abstained_share'] ?? metrics['eval/greedy/reward/abstained_share'] ?? 0
  if (abstained > 0) parts.push(`${percent(abstained)} abstained`)
  if (greedy !== undefined) parts.push(`greedy ${formatMetric(greedy)}`)
  if (best && best.index !== index) parts.push(`best ${formatMetric(best.score)} at ${best.index}`)
  return parts.join(', ') || formatMetric(score)
}

function phasesText(timings: Metrics): string {
  const phase = (name: string, speed?: number) => {
    const seconds = timings[`time/${name}_s`]
    if (seconds === undefined) return ''
    const speedText = speed === undefined ? '' : ` at ${rate(speed)}`
    return `${name} ${seconds.toFixed(seconds < 10 ? 2 : 0)} s${speedText}`
  }
  return joined(
    phase('generate', timings['time/generate_tokens_per_s']),
    phase('reward'),
    phase('update', timings['time/update_tokens_per_s']),
  )
}

function textsText(metrics: Metrics, agents: readonly string[]): string {
  const lengths = agents.map(
    (agent) => `${agent} ${formatCount(metrics[`completion/length_mean/${agent}`] ?? Number.NaN)}`,
  )
  const truncated = percent(metrics['completion/truncated_share'] ?? 0)
  return `${lengths.join('  ')} tokens  ${truncated} cut off  entropy ${formatMetric(metrics['policy/entropy'] ?? 0)}`
}

function updateText(metrics: Metrics, timings: Metrics): string {
  const norm = metrics['train/grad_norm']
  const learningRate = metrics['train/learning_rate']
  return joined(
    norm === undefined ? '' : `gradient ${formatMetric(norm)}`,
    learningRate === undefined ? '' : `learning rate ${formatMetric(learningRate)}`,
    memoryText(timings),
  )
}

function meanAndStd(metrics: Metrics): string {
  return `${formatMetric(metrics['reward/mean'] ?? Number.NaN)} ± ${formatMetric(metrics['reward/std'] ?? Number.NaN)}`
}

/** Steps and evaluations to come, each at the mean of those seen. */
function timeLeft({ done, doneBefore, steps, seconds, evals, evalEvery }: TrainingState): string {
  if (done <= doneBefore || done >= steps) return ''
  const ofSteps = ((seconds - evals.seconds) / (done - doneBefore)) * (steps - done)
  const evalsLeft = evalEvery > 0 ? Math.ceil(steps / evalEvery) - Math.floor(done / evalEvery) : 0
  const ofEvals = evals.count > 0 ? (evals.seconds / evals.count) * evalsLeft : 0
  return `about ${formatDuration(ofSteps + ofEvals)} left`
}

function memoryText(timings: Metrics): string {
  const device = timings['memory/device_bytes']
  const resident = timings['memory/rss_bytes']
  return joined(
    resident === undefined ? '' : `memory ${formatBytes(resident)}`,
    device === undefined ? '' : `device ${formatBytes(device)}`,
  )
}

const rate = (tokensPerSecond: number | undefined) =>
  tokensPerSecond === undefined ? '–' : `${formatCount(tokensPerSecond)} tok/s`
const percent = (value: number) => `${Math.round(value * 100)} %`
const signed = (value: number) => `${value < 0 ? '−' : value > 0 ? '+' : ''}${formatMetric(Math.abs(value))}`

function promptText(prompt: string | ChatMessage[]): string {
  return typeof prompt === 'string' ? prompt : prompt.map(({ role, content }) => `${role}: ${content}`).join('\n')
}
