/** One repetition of each case, as users reach it: the library's own calls, all their cost included. */
import { generateBatch } from '../../lib/model/generate.ts'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { accumulateBatch, scoreBatch } from '../../lib/model/score.ts'
import { TreeBuilder } from '../../lib/model/token-tree.ts'
import type { LossOptions, ScoredGroup } from '../../lib/model/types.ts'
import { callNative } from '../../lib/native/call.ts'
import { ranksOfProcess } from '../../lib/ranks/process-ranks.ts'
import { magrpo } from '../../lib/rl/algorithms/magrpo.ts'
import { Team } from '../../lib/rl/team/team.ts'
import { train } from '../../lib/session/train.ts'
import { defineTask } from '../../lib/tasks/task/define-task.ts'
import type { CaseRequest } from './request.ts'
import { loadPolicies, modelFolderOf, requestsFor } from './team.ts'

/** PPO's clip, as on the peers' side. */
export const clippedLoss: LossOptions = { clip: { low: 0.2, high: 0.2 } }

/** No end token, so that both sides make equally many tokens. */
const plainSampling = (maxNewTokens: number) => ({ maxNewTokens, temperature: 1, stopIds: [] })

const opened: Model[] = []

/** Models of the case that decodes, or of the one that updates. */
export const openedModels = (): readonly Model[] => opened

/** Loads what a case needs and returns its repetition. */
export function openCase(request: CaseRequest): Promise<() => Promise<unknown>> {
  const open = { gen: openGenerate, ragged: openRagged, update: openUpdate, step: openStep, decode: openDecode }[
    request.case
  ]
  return open(request)
}

async function openGenerate(request: CaseRequest) {
  const policies = await loadPolicies(request)
  const prompt = Int32Array.from(request.promptIds)
  let step = 0
  return () => generateBatch(requestsFor(policies, prompt, request.groupSize, step++), plainSampling(request.newTokens))
}

/** Rows that end at given lengths; there is no public option for it, so the tree goes to the core as `generateBatch` sends it. */
async function openRagged(request: CaseRequest) {
  const model = await Model.load(modelFolderOf(request, 0), { device: 'cpu', dtype: 'float32' })
  const policy = await Policy.full(model)
  const tree = new TreeBuilder()
  const segment = tree.root(policy, Int32Array.from(request.promptIds))
  const { lengths } = request
  let step = 0
  return () => {
    const streams = lengths.flatMap((_, row) => [1, step, 0, 0, row])
    step++
    return callNative((job) =>
      model.native.generate(
        {
          tree: tree.build(),
          policies: tree.policies,
          rowSegment: Int32Array.from(lengths, () => segment),
          rowLimit: Int32Array.from(lengths),
          rowStream: Uint32Array.from(streams),
          sampling: {
            temperature: 1,
            topK: 0,
            topP: 1,
            minP: 0,
            repetitionPenalty: 1,
            stopIds: new Int32Array(0),
            stopStrings: [],
          },
        },
        job,
      ),
    )
  }
}

/** One prompt with all completions, weighted for the mean over tokens; log-probabilities of the sampler as a rollout leaves them. */
export async function updateGroup(request: CaseRequest, policy: Policy): Promise<ScoredGroup> {
  const { completions, advantages } = request
  const tokens = completions.reduce((sum, ids) => sum + ids.length, 0)
  const group: ScoredGroup = {
    policy,
    promptIds: Int32Array.from(request.promptIds),
    completions: completions.map((ids, g) => ({
      ids: Int32Array.from(ids),
      weights: new Float32Array(ids.length).fill(advantages[g]! / tokens),
    })),
  }
  const { scores } = await scoreBatch([group])
  for (const [g, completion] of group.completions.entries()) completion.oldLogProbs = scores[0]!.logProbs[g]
  return group
}

async function openUpdate(request: CaseRequest) {
  const [policy] = await loadPolicies({ ...request, agents: 1 })
  opened.push(policy!.model)
  const group = await updateGroup(request, policy!)
  const { learningRate, moments } = request
  return async () => {
    await accumulateBatch([group], { loss: clippedLoss })
    await policy!.step({ learningRate, decay: 'all', moments })
  }
}

let sumShare = 0

/** Share of the last step that was spent on summing gradients over ranks. */
export const lastSumShare = (): number => sumShare

let exchanged = 0

/** Bytes of what this rank gave to the others in the last step, and got from them, besides tensors. */
export const lastExchanged = (): number => exchanged

const gatheredBytes = async () => (await ranksOfProcess()?.native?.traffic())?.values ?? 0

const stepped: Policy[] = []

/** Bytes of moments and masters that this process holds, of the policies that steps train. */
export async function optimizerBytes(): Promise<number> {
  let bytes = 0
  for (const policy of stepped) bytes += await policy.withNative((native) => native.optimizerBytes())
  return bytes
}

/** One step of a run, as `train` makes it. */
async function openStep(request: CaseRequest) {
  const policies = await loadPolicies(request)
  stepped.push(...policies)
  const names = policies.map((_, agent) => `agent ${agent}`)
  const team = await Team.of(
    policies.map((policy, agent) => ({ name: names[agent]!, policy })),
    request.byAgent ? { columns: [...policies.keys()] } : {},
  )
  const promptIds = Int32Array.from(request.promptIds)
  const { stepPrompts: prompts = 1, deterministic, sharded } = request
  const share = (ids: Int32Array, rest: number) => ids.filter((id) => id % 2 === rest).length / ids.length
  const task = defineTask({
    name: 'bench',
    agents: names,
    items: Array.from({ length: prompts }, (_, item) => item),
    // The models have no tokenizer: the prompt goes through as ids, which the engine takes and the task's type does not name.
    observe: (item) => promptIds.map((_, i) => promptIds[(i + 3 * item) % promptIds.length]!) as unknown as string,
    reward: (_item, joint) => share(joint[0]!.ids, 0) * share(joint[1]!.ids, 1),
  })
  const run = train({
    team,
    task,
    algorithm: magrpo({
      groupSize: request.groupSize,
      scaleByStd: true,
      lengthNormalization: 'mean',
      clip: { low: 0.2, high: 0.2 },
    }),
    sampling: plainSampling(request.newTokens),
    optimizer: { learningRate: request.learningRate, sharded },
    steps: 1_000_000,
    promptsPerStep: prompts,
    seed: 1,
    shuffle: false,
    deterministic,
  })
  const steps = run[Symbol.asyncIterator]()
  return async () => {
    const before = await gatheredBytes()
    const { value } = await steps.next()
    exchanged = (await gatheredBytes()) - before
    if (value === undefined) throw new Error('Expected another step but the run has ended.')
    sumShare = value.timings['time/gradient_sum_s']! / value.timings['time/step_s']!
    if (!(value.metrics['train/log_prob_difference_max']! < 1e-3))
      throw new Error(
        `Sampler and trainer differ by ${value.metrics['train/log_prob_difference_max']} in a log-probability.`,
      )
  }
}

/** How far apart two tokens are that might follow `promptIds`, as |difference| of their log-probabilities. */
export async function tieOf({ promptIds, candidates = [0, 0] }: CaseRequest): Promise<number> {
  const completions = candidates.map((id) => ({ ids: Int32Array.of(id) }))
  const group = { policy: Policy.base(opened[0]!), promptIds: Int32Array.from(promptIds), completions }
  const { scores } = await scoreBatch([group])
  return Math.abs(scores[0]!.logProbs[0]![0]! - scores[0]!.logProbs[1]![0]!)
}

/** One request of so many rows over a model's bare weights. */
async function openDecode(request: CaseRequest) {
  const model = await Model.load(request.source ?? modelFolderOf(request, 0), {
    device: request.device ?? 'cpu',
    dtype: request.dtype ?? 'float32',
  })
  opened.push(model)
  const policy = Policy.base(model)
  let step = 0
  if (request.prompts !== undefined) {
    const requests = request.prompts.map((ids) => requestsFor([policy], Int32Array.from(ids), 1, 0)[0]!)
    return () => generateBatch(requests, { ...plainSampling(request.newTokens), temperature: 0 })
  }
  const prompt = Int32Array.from(request.promptIds)
  const sampling = { ...plainSampling(request.newTokens), ...request.sampling }
  return () => generateBatch(requestsFor([policy], prompt, request.groupSize, step++), sampling)
}
