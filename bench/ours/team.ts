/** The team of a trial: models with weights of their own, or adapters over one. */
import { join } from 'node:path'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import type { GenerateRequest } from '../../lib/model/types.ts'
import type { CaseRequest } from './request.ts'

/** Folder of an agent's model. */
export const modelFolderOf = ({ root, model }: CaseRequest, agent: number) => join(root, `${model}-${agent}`)

/** Loads what a request names. The process ends with its trial, so that nothing is disposed. */
export async function loadPolicies(request: CaseRequest): Promise<Policy[]> {
  const { root, model, agents, adapters, byAgent } = request
  const options = { device: request.device ?? 'cpu', dtype: request.dtype ?? 'float32' } as const
  const numbers = Array.from({ length: agents }, (_, agent) => agent)
  if (!adapters)
    return Promise.all(
      numbers.map(async (agent) => {
        const weights = byAgent !== true || agent === Number(process.env.RANK)
        return Policy.full(await Model.load(modelFolderOf(request, agent), { ...options, weights }))
      }),
    )
  const base = await Model.load(modelFolderOf(request, 0), options)
  // Two adapters were written; larger teams take them in turn, each as a policy of its own.
  return Promise.all(numbers.map((agent) => Policy.fromAdapter(base, join(root, `${model}-adapter-${agent % 2}`))))
}

/** One request per agent, all for the same prompt. */
export function requestsFor(
  policies: readonly Policy[],
  prompt: Int32Array,
  count: number,
  step: number,
): GenerateRequest[] {
  return policies.map((policy, agent) => ({
    policy,
    prompt,
    count,
    stream: { seed: 1, step, agent, prompt: 0, sample: 0 },
  }))
}
