/** The memory plan of a real team. */

import { sum } from '../../base/statistics.ts'
import { adapterShape } from '../../model/lora-options.ts'
import {
  adapterParameters,
  adapterTensors,
  keptBytesPerToken,
  momentBytes,
  valueHeadTensors,
} from '../../model/memory-terms.ts'
import type { Model } from '../../model/model.ts'
import type { Policy } from '../../model/policy.ts'
import { trainedTensors } from '../../model/policy-state.ts'
import { workAtOnce } from '../../model/side-by-side.ts'
import type { Task } from '../../tasks/task/types.ts'
import { algorithmEntry } from '../algorithms/registry.ts'
import { gradientCopies, type MemoryPlan, type PlannedPolicy, planMemory } from '../memory/plan.ts'
import { jointCount } from '../rollout/joint.ts'
import { itemsAtOnce } from '../rollout/plan.ts'
import type { ResolvedTrainOptions } from '../types/options.ts'
import type { Team } from './team.ts'

/** Node’s own heap, libtorch’s caches and freed blocks of tensors (64 MiB) grow by about this much once a run is under way. */
const growthBytes = 96 * 2 ** 20

/** Items whose prompts are looked at, and those of them that are counted in tokens: the longest in characters. */
const promptScan = { items: 4096, counted: 8 }

/** Rank of the adapters that are made for critics. */
const criticRank = adapterShape.rank.parse(undefined)

/**
 * Plans the memory of a run; the team's models are loaded already.
 *
 * @param ranks processes that train the team together
 */
export function planTeamMemory(team: Team, task: Task, options: ResolvedTrainOptions, ranks = 1): MemoryPlan {
  const references = options.algorithm.kl ? team.agents.flatMap(({ reference }) => reference ?? []) : []
  const here = ({ model }: Policy) => model.isHere
  const models = [...new Set([...team.policies, ...references, ...team.critics].filter(here).map(({ model }) => model))]
  const atOnce = workAtOnce(team.policies.filter(here))
  const planned = models.map((model) => {
    const { config: shape, dtype, device, weightBytes, contextLength } = model
    return { shape, dtype, device, weightBytes, contextLength, passesAtOnce: atOnce.partsOf(model) }
  })
  const onHost = models.filter(({ device }) => device === 'cpu').map(({ weightBytes }) => weightBytes)
  const { algorithm, evalEvery, evalItems } = options
  // The pass with fewer samples an item has more prompts in a batch of as many rows.
  const evalSamples = options.evalGreedy ? 1 : options.evalSamples
  const items = Math.min(evalItems, itemsAtOnce(evalSamples, team.agents.length))
  const policies = policiesOf(team, models, options)
  // Masters are made with the policy, before the run, on its device.
  const masters = policies.filter(
    ({ kind, model }) => kind === 'full' && models[model]!.dtype === 'bfloat16' && models[model]!.device === 'cpu',
  )
  const held = sum(onHost) + 4 * sum(masters.map(({ parameters }) => parameters))
  return planMemory({
    models: planned,
    policies,
    agents: [...team.agents.entries()]
      .filter(([, { policy }]) => here(policy))
      .map(([agent, { policy }]) => ({
        model: models.indexOf(policy.model),
        isTrained: policy.kind !== 'base',
        promptTokens: longestPrompt(task, agent, policy.model),
      })),
    promptsPerStep: Math.min(options.promptsPerStep, task.items.length),
    groupSize: algorithm.groupSize,
    joints: jointCount(algorithm, team.agents.length),
    turns: algorithm.turns,
    maxNewTokens: options.sampling.maxNewTokens,
    keptBytes: models.map(({ config }) =>
      algorithm.logProbs === 'sampler' ? keptBytesPerToken(config, options.sampling) : 0,
    ),
    maxTokensPerMicroBatch: options.deterministic ? 1 : options.maxTokensPerMicroBatch,
    minibatches: options.minibatches,
    gradientCopies: gradientCopies(options.deterministic, options.promptsPerStep),
    checkpointing: options.activationCheckpointing,
    moments: options.optimizer.moments,
    ranks,
    sharded: options.optimizer.sharded,
    offload: options.optimizer.offload,
    evaluation: { items: evalEvery > 0 ? items : 0, samples: evalSamples },
    sideBySide: atOnce.models,
    processBytes: Math.max(0, process.memoryUsage.rss() - held) + growthBytes,
  })
}

/** Bytes of a trained weight's master. */
const masterBytes = ({ dtype }: Model, kind: PlannedPolicy['kind']) => (kind === 'full' && dtype === 'bfloat16' ? 4 : 0)

/** What is trained: the agents' policies, with value heads where critics share them, and separate critics. */
function policiesOf(
  team: Team,
  models: readonly Model[],
  { algorithm, optimizer }: ResolvedTrainOptions,
): PlannedPolicy[] {
  const { critic } = algorithm
  const head = (model: Model) =>
    critic === null ? [] : valueHeadTensors(model.config, critic.hiddenSize ?? model.config.hiddenSize)
  const planned = (model: Model, kind: PlannedPolicy['kind'], tensors: readonly number[], rank: number) => ({
    model: models.indexOf(model),
    kind,
    parameters: sum(tensors),
    momentBytes: momentBytes(tensors, optimizer.moments),
    stagedBytes: Math.max(
      0,
      ...tensors.map((size) => momentBytes([size], optimizer.moments) + masterBytes(model, kind) * size),
    ),
    rank,
  })
  const ofPolicy = (policy: Policy, withHead: boolean): PlannedPolicy => {
    const tensors = [...trainedTensors(policy), ...(withHead ? head(policy.model) : [])]
    return planned(policy.model, policy.kind === 'lora' ? 'lora' : 'full', tensors, rankOf(policy))
  }
  const trained = team.policies.filter(({ kind, model }) => kind !== 'base' && model.isHere)
  const agents = trained.map((policy) => ofPolicy(policy, critic?.placement === 'shared'))
  if (critic?.placement !== 'separate') return agents
  if (team.critics.length > 0)
    return [...agents, ...team.critics.filter(({ model }) => model.isHere).map((policy) => ofPolicy(policy, true))]
  const isCentral = algorithmEntry(algorithm).critic?.scope === 'team'
  const made = (
    isCentral
      ? team.policies.filter(({ kind }) => kind !== 'base').slice(0, 1)
      : team.agents.map(({ policy }) => policy)
  ).filter(({ model }) => model.isHere)
  const critics = made.map(({ model }) =>
    planned(model, 'lora', [...adapterTensors(model.config, criticRank), ...head(model)], criticRank),
  )
  return [...agents, ...critics]
}

/** The rank that an adapter on all projections would have with so many weights: exact for those, less for others. 0 for all weights. */
function rankOf({ kind, parameterCount, model }: Policy): number {
  if (kind !== 'lora') return 0
  return Math.ceil(parameterCount / adapterParameters(model.config, 1))
}

/**
 * Tokens of an agent's longest prompt in the first turn. Items that a task or tokenizer fails on are left out: the step that draws
 * them says what is wrong.
 */
function longestPrompt(task: Task, agent: number, model: Model): number {
  const every = Math.max(1, Math.ceil(task.items.length / promptScan.items))
  const prompts = task.items.flatMap((item, index) => {
    if (index % every !== 0) return []
    try {
      const prompt = task.observe(item, agent, [])
      const length = typeof prompt === 'string' ? prompt.length : sum(prompt.map(({ content }) => content.length))
      return [{ prompt, length }]
    } catch {
      return []
    }
  })
  const longest = prompts.sort((a, b) => b.length - a.length).slice(0, promptScan.counted)
  const tokens = longest.map(({ prompt }) => {
    try {
      const { tokenizer } = model
      return (typeof prompt === 'string' ? tokenizer?.encode(prompt) : tokenizer?.encodeChat(prompt))?.length
    } catch {
      return undefined
    }
  })
  const counted = tokens.filter((count) => count !== undefined)
  return Math.min(model.contextLength - 1, Math.max(1, ...counted))
}
