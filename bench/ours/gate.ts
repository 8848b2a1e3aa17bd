/** What correctness is judged by, from our side: the same files as `bench/peers/gates.py` writes. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generateBatch } from '../../lib/model/generate.ts'
import type { Policy } from '../../lib/model/policy.ts'
import { safetensorsHeader } from '../../lib/model/safetensors.ts'
import { accumulateBatch, scoreBatch } from '../../lib/model/score.ts'
import type { NativeSection } from '../../lib/native/addon-types.ts'
import { clippedLoss, updateGroup } from './cases.ts'
import type { CaseRequest } from './request.ts'
import { loadPolicies, requestsFor } from './team.ts'

/** Greedy tokens and log-probs of every agent, all in one batch; with `trains` the gradient and three updates of the first. */
export async function writeGate(request: CaseRequest): Promise<void> {
  const { folder, newTokens } = request
  await mkdir(folder, { recursive: true })
  const policies = await loadPolicies(request)
  const prompt = Int32Array.from(request.promptIds)
  const sampling = { maxNewTokens: newTokens, temperature: 0, stopIds: [] }
  const requests = requestsFor(policies, prompt, request.groupSize, 0)
  const { generations } = await generateBatch(requests, sampling)
  const tokens = generations.map(({ samples }, agent) => {
    const rows = samples.map(({ ids }) => ids.join(','))
    if (new Set(rows).size !== 1) throw new Error(`Greedy rows of agent ${agent} differ from each other.`)
    return [...samples[0]!.ids]
  })
  const groups = await Promise.all(policies.map((policy) => updateGroup(request, policy)))
  const { scores } = await scoreBatch(groups)
  const logProbs = scores.map((score) => score.logProbs.map((row) => [...row]))
  await writeFile(join(folder, 'outputs.json'), JSON.stringify({ tokens, logProbs }))
  if (!request.trains) return
  const [policy, group] = [policies[0]!, groups[0]!]
  for (let update = 0; update < 3; update++) {
    await accumulateBatch([group], { loss: clippedLoss })
    if (update === 0) await writeTensors(policy, 'gradients', join(folder, 'gradients.safetensors'))
    await policy.step({ learningRate: request.learningRate, decay: 'all' })
  }
  await writeTensors(policy, 'weights', join(folder, 'weights.safetensors'))
}

async function writeTensors(policy: Policy, section: NativeSection, file: string): Promise<void> {
  const native = policy.native!
  await native.writeTensors(section, file, safetensorsHeader(native.tensors(section), {}))
}
