/** What critics read and say: values of prompts (type `v`) or of prompts with completions (type `q`). */
import type { ChatMessage } from '../../text/messages.ts'
import type { AuxiliaryModels, CriticBinding } from '../backend/auxiliary-models.ts'
import type { Engine, EngineGroup, EngineScoreOptions } from '../backend/engine.ts'
import type { Critic } from '../options/algorithm.ts'
import type { RolloutNode } from '../rollout/tree.ts'

/** (n, G) values of a node's completions, by the critic before its update; null for agents without one. */
export type ValueScores = ReadonlyMap<RolloutNode, (number[] | null)[]>

/** What one agent's critic reads at one node. */
export interface CriticInput {
  node: RolloutNode
  /** The agents it speaks for: one, or all that are trained for a central critic. */
  agents: number[]
  /** One group for all samples (`v`, and `q` on token ids), or one per sample (`q` on text). */
  groups: EngineGroup[]
}

/** What encodes text for a critic. */
type Encoder = Pick<Engine, 'encode'>

const nothing = new Int32Array(0)

/**
 * What the critics read at each node.
 *
 * A critic that takes token ids is read at the last token of the prompt (`v`) or of the completion (`q`). One that takes
 * text gets the prompt, for `q` with the completion behind it, in its own tokenizer's ids, and is read at the last of
 * them. A central critic reads the prompts of all agents, as {@link centralText} has them.
 */
export function criticInputs(
  engine: Encoder,
  nodes: readonly RolloutNode[],
  critics: AuxiliaryModels['critics'],
  { type, isCentral }: { type: Critic['type']; isCentral: boolean },
): CriticInput[] {
  const seated = critics.flatMap((binding, agent) => (binding === null ? [] : [{ binding, agent }]))
  const first = seated[0]
  return nodes.flatMap((node): CriticInput[] => {
    if (isCentral) {
      if (first === undefined) return []
      const texts = type === 'v' ? [centralText(node, null)] : node.joints.map((_, joint) => centralText(node, joint))
      const { policy } = first.binding
      return [
        { node, agents: seated.map(({ agent }) => agent), groups: inSlot(node, readTexts(engine, policy, texts)) },
      ]
    }
    return seated.map(({ binding, agent }) => {
      const groups = inSlot(node, ownGroups(engine, node, agent, binding, type))
      return { node, agents: [agent], groups }
    })
  })
}

const inSlot = ({ slot }: RolloutNode, groups: EngineGroup[]) => groups.map((group) => ({ ...group, slot }))

function ownGroups(
  engine: Encoder,
  node: RolloutNode,
  agent: number,
  { policy, sharesTokenizer }: CriticBinding,
  type: Critic['type'],
): EngineGroup[] {
  if (!sharesTokenizer) {
    const prompt = textOf(node.prompts[agent]!)
    const texts = type === 'v' ? [prompt] : node.completions[agent]!.map(({ text }) => prompt + text)
    return readTexts(engine, policy, texts)
  }
  const completions = type === 'v' ? [{ ids: nothing }] : node.samples[agent]!.map(({ ids }) => ({ ids }))
  return [{ policy, promptIds: node.promptIds[agent]!, completions, valueAt: type === 'v' ? 'prompt' : 'completion' }]
}

function readTexts(engine: Encoder, policy: number, texts: readonly string[]): EngineGroup[] {
  const completions = [{ ids: nothing }]
  return texts.map((text) => ({ policy, promptIds: engine.encode(policy, text), completions, valueAt: 'prompt' }))
}

/**
 * What a central critic reads: the prompts of all agents, each under its agent's number, separated by blank lines; with
 * a joint action also what each agent answered.
 *
 * @param joint index into `node.joints`; null for the prompts alone
 */
export function centralText(
  node: Pick<RolloutNode, 'prompts' | 'completions' | 'joints'>,
  joint: number | null,
): string {
  const prompts = node.prompts.map((prompt, agent) => `[Agent ${agent + 1}]\n${textOf(prompt)}`)
  if (joint === null) return prompts.join('\n\n')
  const { picks } = node.joints[joint]!
  const answers = picks.map((g, agent) => `[Answer of agent ${agent + 1}]\n${node.completions[agent]![g]!.text}`)
  return [...prompts, '[Joint action]', ...answers].join('\n\n')
}

/** A prompt as plain text: the contents of messages, each behind its role. */
function textOf(prompt: string | ChatMessage[]): string {
  return typeof prompt === 'string' ? prompt : prompt.map(({ role, content }) => `${role}: ${content}`).join('\n')
}

/** The values of all nodes' completions, in one batch. */
export async function scoreValues(
  engine: Engine,
  inputs: readonly CriticInput[],
  agents: number,
  options: EngineScoreOptions,
): Promise<ValueScores> {
  const all = inputs.flatMap(({ groups }) => groups)
  const { scores } = await engine.score(all, options)
  const values = new Map<RolloutNode, (number[] | null)[]>()
  let next = 0
  for (const { node, agents: own, groups } of inputs) {
    const said = groups.flatMap(() => scores[next++]!.values!)
    const byAgent = values.get(node) ?? new Array<number[] | null>(agents).fill(null)
    for (const agent of own) byAgent[agent] = node.samples[agent]!.map((_, g) => said[said.length === 1 ? 0 : g]!)
    values.set(node, byAgent)
  }
  return values
}
