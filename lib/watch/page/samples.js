/** Samples as trees: what each agent wrote, side by side, with rewards. */
import { element, formatValue } from './chart.js'

/**
 * A joint completion.
 *
 * @param {import('../../rl/types/reports.ts').SampleRow} row
 */
export function sampleTree(row) {
  const agents = row.agents ?? []
  const prompts = agents.map(({ prompt }) => promptText(prompt))
  const isShared = prompts.every((prompt) => prompt === prompts[0])
  const place = [
    `item ${row.item}`,
    row.turn > 0 ? `turn ${row.turn + 1}` : '',
    row.joint > 0 ? `joint ${row.joint + 1}` : '',
  ]
  return element(
    'article',
    { class: 'sample' },
    element(
      'header',
      {},
      element('h4', {}, place.filter(Boolean).join(', ')),
      typeof row.reward === 'number'
        ? chip('reward', row.reward, 'reward')
        : element('span', { class: 'chip reward' }, 'abstained'),
      ...(row.return !== row.reward && typeof row.return === 'number' ? [chip('return', row.return)] : []),
      ...Object.entries(row.parts ?? {}).map(([name, value]) => chip(name, value)),
    ),
    ...(isShared && prompts.length > 0 ? [prompt(prompts[0])] : []),
    element(
      'div',
      { class: 'agents' },
      ...agents.map((agent, index) => agentTree(agent, isShared ? undefined : prompts[index])),
    ),
  )
}

function agentTree(agent, ownPrompt) {
  const facts = [`${agent.tokens} ${agent.tokens === 1 ? 'token' : 'tokens'}`]
  if (agent.finish === 'length') facts.push('cut off')
  if (typeof agent.advantage === 'number') facts.push(`advantage ${signed(agent.advantage)}`)
  return element(
    'section',
    { class: 'agent' },
    element('h5', {}, agent.name, element('small', {}, facts.join(', '))),
    ...(ownPrompt === undefined ? [] : [prompt(ownPrompt)]),
    element('pre', { class: 'completion', tabindex: 0 }, agent.completion || '(no text)'),
  )
}

function prompt(text) {
  const isLong = text.length > 600 || text.split('\n').length > 8
  const body = element('pre', { class: 'prompt' }, text)
  if (!isLong) return body
  return element('details', { class: 'prompt' }, element('summary', {}, `prompt, ${text.length} characters`), body)
}

function promptText(prompt) {
  if (typeof prompt === 'string') return prompt
  if (!Array.isArray(prompt)) return ''
  return prompt.map(({ role, content }) => `${role}: ${content}`).join('\n\n')
}

function chip(name, value, kind = '') {
  return element('span', { class: `chip ${kind}` }, `${name} `, element('b', {}, formatValue(value)))
}

const signed = (value) => `${value > 0 ? '+' : value < 0 ? '−' : ''}${formatValue(Math.abs(value))}`

/**
 * The name of a group of samples.
 *
 * @param {{ step: number, phase: string }} group
 */
export function groupLabel({ step, phase }) {
  const phases = { train: 'training', eval: 'held-out', greedy: 'held-out, greedy' }
  return `step ${step}, ${phases[phase] ?? phase}`
}
