/** What the golden tests do with the addon's handles: trees of prompts, scores by completion, tensors read back from a file. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NativeModel, NativePolicy, NativeSampling, NativeTokenTree } from '../../lib/native/addon-types.ts'
import type { GoldenGroup, GoldenScore } from './golden-values.ts'
import { treeOfGroups } from './golden-values.ts'

/** Choosing the most probable token, without end ids. */
export const greedySampling: NativeSampling = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
  stopIds: new Int32Array(0),
  stopStrings: [],
}

/** Prompts as roots of one tree. */
export function treeOfPrompts(prompts: readonly (readonly number[])[], policy = -1): NativeTokenTree {
  const offset = [0]
  for (const prompt of prompts) offset.push((offset.at(-1) ?? 0) + prompt.length)
  return {
    parent: new Int32Array(prompts.length).fill(-1),
    offset: Int32Array.from(offset),
    ids: Int32Array.from(prompts.flat()),
    policy: new Int32Array(prompts.length).fill(policy),
  }
}

/** Logits after each prompt, all prompts in one batch: (B) arrays of (V). */
export async function logitsOf(
  model: NativeModel,
  prompts: readonly (readonly number[])[],
  policy?: NativePolicy,
): Promise<Float32Array[]> {
  const tree = treeOfPrompts(prompts, policy ? 0 : -1)
  const rows = Int32Array.from(prompts, (_, row) => row)
  const flat = await model.logits(tree, policy ? [policy] : [], rows)
  const width = flat.length / prompts.length
  return prompts.map((_, row) => flat.subarray(row * width, (row + 1) * width))
}

/** Log-probability of each id of each text but its first. */
export async function ownLogProbs(model: NativeModel, texts: readonly (readonly number[])[]): Promise<Float32Array[]> {
  const tree = treeOfPrompts(texts)
  const scored = new Uint8Array(tree.ids.length).fill(1)
  for (const begin of tree.offset.subarray(0, -1)) scored[begin] = 0
  const { logProbs } = await model.logProbs({ tree, policies: [], scored, maxTokensPerMicroBatch: 1 << 20 })
  return texts.map((_, i) => logProbs.subarray((tree.offset[i] ?? 0) + 1, tree.offset[i + 1]))
}

/** Greedy text of each prompt, all prompts in one batch. */
export async function greedyOf(
  model: NativeModel,
  prompts: readonly (readonly number[])[],
  limit: number,
  stopIds: readonly number[] = [],
  policy?: NativePolicy,
): Promise<{ ids: number[]; logProbs: Float32Array; stopped: boolean }[]> {
  const result = await model.generate({
    tree: treeOfPrompts(prompts, policy ? 0 : -1),
    policies: policy ? [policy] : [],
    rowSegment: Int32Array.from(prompts, (_, row) => row),
    rowLimit: new Int32Array(prompts.length).fill(limit),
    rowStream: new Uint32Array(prompts.length * 5),
    sampling: { ...greedySampling, stopIds: Int32Array.from(stopIds) },
  })
  return result.rows.map(({ ids, logProbs, stopped }) => ({ ids: [...ids], logProbs, stopped }))
}

/** Log-probs and entropies of each completion; with `accumulate`, their weighted gradient is added to the policy. */
export async function scoresOf(
  model: NativeModel,
  groups: readonly GoldenGroup[],
  policy?: NativePolicy,
  accumulate = false,
): Promise<GoldenScore[]> {
  const { tree, scored, weights, spans } = treeOfGroups(groups, policy ? 0 : -1)
  const request = { tree, policies: policy ? [policy] : [], scored, maxTokensPerMicroBatch: 1 << 20 }
  const result = accumulate ? await model.accumulate({ ...request, weights }) : await model.logProbs(request)
  return spans.map(({ begin, end }) => ({
    logProbs: [...result.logProbs.subarray(begin, end)],
    entropies: [...result.entropies.subarray(begin, end)],
  }))
}

/** What a policy writes, by tensor name. Only float32 is read. */
export async function policyTensors(
  policy: NativePolicy,
  what: 'weights' | 'gradients',
): Promise<Map<string, Float32Array>> {
  const folder = mkdtempSync(join(tmpdir(), 'magrpo-tensors-'))
  try {
    const file = join(folder, 'tensors')
    await policy.writeTensors(what, file, new Uint8Array(0))
    const bytes = readFileSync(file)
    const tensors = new Map<string, Float32Array>()
    let offset = 0
    for (const { name, dtype, shape } of policy.tensors(what)) {
      if (dtype !== 'F32') throw new Error(`Expected float32 but received ${dtype} for ${name}`)
      const count = shape.reduce((product, length) => product * length, 1)
      const data = new Float32Array(count)
      Buffer.from(data.buffer).set(bytes.subarray(offset, offset + count * 4))
      tensors.set(name, data)
      offset += count * 4
    }
    if (offset !== bytes.length) throw new Error(`Expected ${offset} bytes of tensors but the file has ${bytes.length}`)
    return tensors
  } finally {
    rmSync(folder, { recursive: true })
  }
}
