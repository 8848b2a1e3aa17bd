/** Small models on a device against the same on the CPU: scores, text, gradients, optimizer steps, a team. */
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { supportedArchitectures } from '../model/architecture.ts'
import { generateBatch } from '../model/generate.ts'
import { type LoadOptions, Model } from '../model/model.ts'
import { Policy } from '../model/policy.ts'
import { accumulateBatch } from '../model/score.ts'
import type { NativeSection } from '../native/addon-types.ts'
import { equalRow, largestDifference, relativeDifference, rowOf, type Subject } from './compare.ts'
import { writeRandomModel } from './random-model.ts'
import type { CheckRow } from './types.ts'

/** A device as `Model.load` takes it. */
export type DeviceName = NonNullable<LoadOptions['device']>

/** Ids of all small models. */
export const vocabulary = 128

/** What the small models have, unless an architecture asks for more. */
const common = {
  vocab_size: vocabulary,
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  max_position_embeddings: 1024,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: true,
  dtype: 'float32' as const,
}

/** Windows that texts of the check are longer than, and a head of its own for one. */
const particular: Record<string, Record<string, unknown>> = {
  gemma3_text: { sliding_window: 16, query_pre_attn_scalar: 24, layer_types: ['sliding_attention', 'full_attention'] },
  llama: { tie_word_embeddings: false, attention_bias: true },
  mistral: { sliding_window: 16 },
}

/** Writes a small model of an architecture into `folder` and returns its own. */
export async function smallModel(folder: string, architecture = 'qwen3'): Promise<string> {
  const place = join(folder, architecture)
  await mkdir(place, { recursive: true })
  await writeRandomModel(place, { config: { ...common, ...particular[architecture], model_type: architecture } })
  return place
}

/** Ids that look random and are a function of their arguments. */
export const idsOf = (length: number, seed: number): Int32Array =>
  Int32Array.from({ length }, (_, i) => 3 + ((seed * 31 + i * i * 7 + i * 13) % (vocabulary - 3)))

/** Three prompts; the last is longer than what decoding splits. */
export const prompts = [idsOf(24, 1), idsOf(5, 2), idsOf(300, 3)]

/** Two completions of each prompt but the long one, with weights as advantages are. */
export const groupsOf = (policy: Policy) =>
  prompts.slice(0, 2).map((promptIds, p) => ({
    policy,
    promptIds,
    completions: [12, 3].map((length, c) => ({
      ids: idsOf(length, 10 + 2 * p + c),
      weights: new Float32Array(length).fill((c === 0 ? 1 : -0.6) / 40),
    })),
  }))

/** Everything that a pass says of {@link groupsOf}. */
export async function scoresOf(policy: Policy): Promise<number[]> {
  const scores = await policy.logProbs(groupsOf(policy))
  return scores.flatMap(({ logProbs, entropies }) => [...logProbs, ...entropies].flatMap((list) => [...list]))
}

/** A policy's tensors, in order. */
export async function tensorsOf(policy: Policy, section: NativeSection, folder: string): Promise<Float32Array> {
  const file = join(folder, `tensors-${process.pid}`)
  await policy.withNative((native) => native.writeTensors(section, file, new Uint8Array(0)))
  const bytes = await readFile(file)
  await rm(file)
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
}

interface Outcome {
  scores: number[]
  greedy: number[][]
  gradients: Float32Array
  norms: number[]
  trained: number[]
}

/** What a model says and does on one device. */
async function outcomeOf(
  source: string,
  device: DeviceName,
  dtype: CheckRow['dtype'],
  folder: string,
): Promise<Outcome> {
  const model = await Model.load(source, { device, dtype })
  try {
    const base = Policy.base(model)
    const scores = await scoresOf(base)
    const generations = await base.generate(prompts, { temperature: 0, maxNewTokens: 12, stopIds: [] })
    const greedy = generations.map(({ samples }) => [...samples[0]!.ids])
    const policy = await Policy.full(model)
    let gradients: Float32Array = new Float32Array(0)
    const norms: number[] = []
    for (let step = 0; step < 3; step++) {
      await accumulateBatch(groupsOf(policy))
      if (step === 0) gradients = await tensorsOf(policy, 'gradients', folder)
      norms.push((await policy.step({ learningRate: 1e-3, maxGradNorm: 1 })).gradNorm)
    }
    return { scores, greedy, gradients, norms, trained: await scoresOf(policy) }
  } finally {
    await model.dispose()
  }
}

/** How far float32 may be from float32, in units of rounding that thousands of sums add up. */
const allowed = { scores: 2e-4, gradients: 2e-4, norms: 1e-3, trained: 5e-3 }

/**
 * Compares small models. In bfloat16 both are compared with the CPU in float32: the device may be twice as far from it as the CPU is in
 * bfloat16.
 *
 * @param onRow gets each row as it is ready
 */
export async function checkModels(
  { device, quick, folder }: { device: DeviceName; quick: boolean; folder: string },
  onRow: (row: CheckRow) => void,
): Promise<void> {
  const architectures = quick ? ['qwen3', 'gemma3_text'] : supportedArchitectures
  for (const architecture of architectures) {
    const source = await smallModel(folder, architecture)
    const expected = await outcomeOf(source, 'cpu', 'float32', folder)
    const seen = await outcomeOf(source, device, 'float32', folder)
    for (const row of compared(architecture, 'float32', seen, expected)) onRow(row)
    if (quick && architecture !== 'qwen3') continue
    const rounded = await outcomeOf(source, 'cpu', 'bfloat16', folder)
    const half = await outcomeOf(source, device, 'bfloat16', folder)
    for (const row of compared(architecture, 'bfloat16', half, expected, rounded)) onRow(row)
  }
}

/** @param rounded the CPU's own in bfloat16, whose distance from `expected` says what bfloat16 costs */
function compared(
  how: string,
  dtype: CheckRow['dtype'],
  seen: Outcome,
  expected: Outcome,
  rounded?: Outcome,
): CheckRow[] {
  const subject = (what: string): Subject => ({ what, how, dtype })
  const gradient = (side: Outcome) => relativeDifference([side.gradients], [expected.gradients])
  const list = (what: string, name: 'scores' | 'norms' | 'trained') => {
    const own = rounded === undefined ? 0 : largestDifference(rounded[name], expected[name]).value
    const scale = name === 'norms' ? Math.max(...expected.norms) : 1
    return rowOf(subject(what), largestDifference(seen[name], expected[name]), 2 * own + scale * allowed[name])
  }
  const distance = gradient(seen)
  const bound = rounded === undefined ? allowed.gradients : 2 * gradient(rounded) + allowed.gradients
  return [
    list('log-probs and entropies', 'scores'),
    rowOf(subject('gradients of all weights'), { value: distance, place: 0, expected: 0, seen: distance }, bound),
    list('gradient norms of three steps', 'norms'),
    list('log-probs after three steps', 'trained'),
    // Two tokens of about the same probability may change places in bfloat16.
    ...(dtype === 'float32' ? [sameIds(subject('greedy tokens'), seen.greedy, expected.greedy)] : []),
  ]
}

/** A row of completions that have to be the same. */
export function sameIds(subject: Subject, seen: readonly number[][], expected: readonly number[][]): CheckRow {
  const row = expected.findIndex((ids, r) => ids.join() !== seen[r]?.join())
  return equalRow(subject, row < 0, `row ${row}: expected ${expected[row]} but received ${seen[row]}`)
}

/** What a team of two adapters over one base does: a batch of both agents, a step of both, and the same again. */
export async function teamOutcome(
  source: string,
  device: DeviceName,
): Promise<{ ids: number[][]; logProbs: number[]; scores: number[] }> {
  const model = await Model.load(source, { device, dtype: 'float32' })
  try {
    const team = [await Policy.lora(model, { rank: 8, seed: 1 }), await Policy.lora(model, { rank: 8, seed: 2 })]
    // An adapter that was never trained is the base.
    await accumulateBatch(team.flatMap((policy) => groupsOf(policy)))
    for (const policy of team) await policy.step({ learningRate: 0.02 })
    const requests = team.flatMap((policy, agent) =>
      prompts.map((prompt, p) => ({
        policy,
        prompt,
        count: 2,
        stream: { seed: 5, step: 0, agent, prompt: p, sample: 0 },
      })),
    )
    // Rows that end at different times, so that batches of all sizes are decoded.
    const options = { temperature: 1, maxNewTokens: 12, stopIds: [3, 4, 5, 6] }
    const { generations } = await generateBatch(requests, options)
    const samples = generations.flatMap((generation) => generation.samples)
    return {
      ids: samples.map(({ ids }) => [...ids]),
      logProbs: samples.flatMap(({ logProbs }) => [...logProbs]),
      scores: (await Promise.all(team.map(scoresOf))).flat(),
    }
  } finally {
    await model.dispose()
  }
}

/** Rows of a team on a device; `how` names the settings. */
export async function checkTeam(source: string, device: DeviceName, how: string): Promise<CheckRow[]> {
  const [expected, seen] = [await teamOutcome(source, 'cpu'), await teamOutcome(source, device)]
  const subject = (what: string): Subject => ({ what, how, dtype: 'float32' })
  const ids = sameIds(subject("a team's batch: tokens"), seen.ids, expected.ids)
  return [
    ids,
    // Of other tokens they would be others.
    ...(ids.passed
      ? [
          rowOf(
            subject("a team's batch: log-probs"),
            largestDifference(seen.logProbs, expected.logProbs),
            5 * allowed.scores,
          ),
        ]
      : []),
    rowOf(
      subject("a team's step: log-probs after it"),
      largestDifference(seen.scores, expected.scores),
      allowed.trained,
    ),
  ]
}
