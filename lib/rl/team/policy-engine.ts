/** The {@link Engine} over real policies, and the backend of a real team. */
import { basename, join } from 'node:path'
import { MagrpoError } from '../../base/errors.ts'
import { generateBatch } from '../../model/generate.ts'
import type { Policy } from '../../model/policy.ts'
import { readPolicyState, readSpreadState, writePolicyState, writeSpreadState } from '../../model/policy-state.ts'
import { accumulateBatch, scoreBatch } from '../../model/score.ts'
import { checkPromptIds, throwFirst } from '../../model/token-tree.ts'
import type { Prompt } from '../../model/types.ts'
import type { NativeRanks } from '../../native/addon-types.ts'
import type { Engine } from '../backend/engine.ts'
import { type Ranks, soleRank } from '../backend/ranks.ts'
import type { TrainingBackend } from '../backend/training-backend.ts'
import { checkAuxiliaryModels, prepareAuxiliaryModels } from './auxiliary-models.ts'
import type { Team } from './team.ts'
import { planTeamMemory } from './workload.ts'

/** How the engine computes; see `TrainOptions`. */
interface EngineSettings {
  deterministic?: boolean
  activationCheckpointing?: boolean
  /** The processes that train the policies together. Default: this one. */
  ranks?: TeamRanks
}

/** Ranks that exchange tensors. */
export interface TeamRanks extends Ranks {
  /** For the native part; undefined for one rank. */
  readonly native?: NativeRanks
}

const rowsOf = (ranks: TeamRanks | undefined): number => (ranks === undefined ? 1 : ranks.size / ranks.columns)

/** So many ranks, for a run that is planned and not begun. */
export const plannedRanks = (size: number, columns: number): TeamRanks => ({ ...soleRank, size, columns })

/**
 * An engine over distinct policies; number i is `policies[i]`, also of those that are added later.
 *
 * It adds nothing to `lib/model` but the numbers: batching over policies and models is done there.
 */
export function policyEngine(
  policies: readonly Policy[],
  { deterministic, activationCheckpointing, ranks }: EngineSettings = {},
): Engine {
  const settings = { deterministic, activationCheckpointing }
  // Ranks of a column sum their gradients; alone in it, there is nothing to sum.
  const column = () => (ranks && ranks.size > ranks.columns ? ranks.native : undefined)
  const withPolicy = <T extends { policy: number; slot?: number }>({ slot: _, ...entry }: T) => ({
    ...entry,
    policy: policies[entry.policy]!,
  })
  return {
    generate: (requests, sampling, options) =>
      generateBatch(requests.map(withPolicy), sampling, { ...options, deterministic }),
    encode: (policy, prompt) => {
      if (prompt instanceof Int32Array) return prompt
      const { tokenizer, source } = policies[policy]!.model
      if (tokenizer === null) {
        throw new MagrpoError(
          'ERR_TOKENIZER_MISSING',
          `Expected a model with a tokenizer to read text but received "${source}", which has no tokenizer.json.`,
        )
      }
      return typeof prompt === 'string' ? tokenizer.encode(prompt) : tokenizer.encodeChat(prompt)
    },
    score: (groups, options) => scoreBatch(groups.map(withPolicy), { ...options, ...settings }),
    accumulate: (groups, options) => accumulateBatch(groups.map(withPolicy), { ...options, ...settings }),
    step: (policy, options) => policies[policy]!.stepWith(options, column()),
    offload: (policy, wanted) => policies[policy]!.withNative((native) => native.offload(wanted)),
    zeroGrad: (policy) => policies[policy]!.zeroGrad(),
    sums: {
      endSlot: (policy, place) => policies[policy]!.withNative((native) => native.endSlot(place)),
      sumSlots: (policy, shares) => policies[policy]!.withNative((native) => native.sumSlots(shares, column())),
      sum: (policy) => policies[policy]!.withNative((native) => native.sumGradients(column()!)),
      spread: (policy, wanted) => policies[policy]!.withNative((native) => native.spread(column()!, wanted)),
      copyFromFirst: (policy, moments) =>
        policies[policy]!.withNative((native) => native.copyFromFirst(column()!, moments)),
    },
  }
}

/** The backend of a real team. */
export function backendOf(team: Team, settings: EngineSettings = {}): TrainingBackend {
  const policies = team.policies
  const engine = policyEngine(policies, settings)
  return {
    engine,
    ranks: settings.ranks,
    agents: team.agents.map(({ name, policy }) => ({
      name,
      policy: policies.indexOf(policy),
      kind: policy.kind,
      parameterCount: policy.parameterCount,
      source: policy.model.source,
    })),
    auxiliary: {
      check: (algorithm) => checkAuxiliaryModels(team, algorithm),
      prepare: (algorithm, seed) => prepareAuxiliaryModels(team, algorithm, seed, policies),
    },
    measurePrompt: (agent, prompt, room) => {
      const { policy } = team.agents[agent]!
      const { contextLength } = policy.model
      const most = mostTokens(prompt)
      if (most !== null && most + room <= contextLength) return { tokens: most, contextLength }
      const ids = engine.encode(policies.indexOf(policy), prompt)
      checkPromptIds(policy.model, ids, agent)
      return { tokens: ids.length, contextLength }
    },
    claim: () => claim(team),
    deviceOf: (number) => policies[number]!.model.device,
    planMemory: (task, options) => planTeamMemory(team, task, options, rowsOf(settings.ranks)),
    columnOf: (number) => team.columnOf(policies[number]!),
    save: (directory) => team.save(directory),
    weights: {
      prefixOf: (number) => basename(prefixOf('', number)),
      write: async (directory, numbers) => {
        const writes = numbers.map((number) => writePolicyState(policies[number]!, prefixOf(directory, number)))
        throwFirst(await Promise.allSettled(writes))
      },
      read: async (directory, numbers) => {
        for (const number of numbers) await readPolicyState(policies[number]!, prefixOf(directory, number))
      },
      // One policy after the other, on every rank in the same order.
      spread: {
        write: async (directory, numbers) => {
          for (const number of numbers)
            await writeSpreadState(policies[number]!, directory && prefixOf(directory, number), settings.ranks!.native!)
        },
        read: async (directory, numbers) => {
          for (const number of numbers)
            await readSpreadState(policies[number]!, directory && prefixOf(directory, number), settings.ranks!.native!)
        },
      },
    },
  }
}

/** What runs train at the moment. */
const inTraining = new WeakSet<Policy>()

/** Takes the policies that a run trains, critics included. @throws MagrpoError `ERR_ARGUMENT` where another run has one */
function claim(team: Team): () => void {
  const trained = [...new Set([...team.policies, ...team.critics])].filter(({ kind }) => kind !== 'base')
  if (trained.some((policy) => inTraining.has(policy))) {
    const whose = team.agents.find(({ policy }) => inTraining.has(policy))?.name
    throw new MagrpoError(
      'ERR_ARGUMENT',
      `Expected a team that no run is training but ${whose === undefined ? 'its critic' : `'${whose}'`} is being trained by another. ` +
        'End that run first: await its result, leave its loop or call stop(), or give each run a team of its own.',
    )
  }
  for (const policy of trained) inTraining.add(policy)
  return () => {
    for (const policy of trained) inTraining.delete(policy)
  }
}

/** Tokens that a tokenizer or chat template adds to a message, at most. */
const addedTokens = 64

/** Tokens of a text at most, without encoding it: a token stands for one byte or more. Null if that says nothing, or it may be empty. */
function mostTokens(prompt: Prompt): number | null {
  if (prompt instanceof Int32Array) return null
  const texts = typeof prompt === 'string' ? [prompt] : prompt.map(({ content }) => content)
  if (texts.every((text) => text.trim() === '')) return null
  return texts.reduce((sum, text) => sum + Buffer.byteLength(text) + addedTokens, addedTokens)
}

const prefixOf = (directory: string, policy: number) => join(directory, `policy-${policy}`)
