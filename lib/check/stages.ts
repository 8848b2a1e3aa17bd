/** The parts of a check, as their processes run them. */
import { generateBatch } from '../model/generate.ts'
import { Model } from '../model/model.ts'
import { Policy } from '../model/policy.ts'
import { accumulateBatch } from '../model/score.ts'
import { loadAddon } from '../native/load-addon.ts'
import { chiSquare, largestDifference, rowOf, type Subject } from './compare.ts'
import { checkKernels } from './kernels.ts'
import { checkMemory } from './memory.ts'
import {
  checkModels,
  checkTeam,
  type DeviceName,
  groupsOf,
  idsOf,
  prompts,
  sameIds,
  scoresOf,
  smallModel,
  vocabulary,
} from './models.ts'
import type { CheckRow, StageName, StageRequest } from './types.ts'

/** What a stage tells. */
export interface StageEvents {
  onRow(row: CheckRow): void
  /** There is nothing to check. */
  onSkipped(why: string): void
}

type Stage = (request: StageRequest & { device: DeviceName }, events: StageEvents) => Promise<void>

const settings: Stage = async ({ stage, device, folder }, { onRow }) => {
  const source = await smallModel(folder)
  for (const row of await checkTeam(source, device, stage)) onRow(row)
  // Two models at once: with streams of their own they run side by side.
  for (const row of await besideEachOther(source, [device, device], stage)) onRow(row)
}

const stages: Record<StageName, Stage> = {
  kernels: async ({ device, quick }, { onRow }) => {
    for (const row of await checkKernels(device, quick)) onRow(row)
  },
  models: async (request, { onRow }) => {
    await checkModels(request, onRow)
    for (const row of await checkTeam(await smallModel(request.folder), request.device, 'qwen3, two adapters'))
      onRow(row)
  },
  samples: async ({ device, quick, folder }, { onRow }) => {
    onRow(await checkSamples(await smallModel(folder), device, quick ? 2_000 : 50_000))
  },
  graphs: settings,
  streams: settings,
  pinned: settings,
  'all settings': settings,
  'two devices': async ({ device, folder, stage }, { onRow, onSkipped }) => {
    const other = secondDevice(device)
    if (other === null) return onSkipped('there is one device')
    for (const row of await besideEachOther(
      await smallModel(folder),
      [device, other],
      `${stage}, ${device} and ${other}`,
    ))
      onRow(row)
  },
  memory: async (request, { onRow }) => onRow(await checkMemory(request)),
}

/** Runs one stage in this process. @throws what the stage throws */
export function runStage(request: StageRequest, events: StageEvents): Promise<void> {
  return stages[request.stage]({ ...request, device: request.device as DeviceName }, events)
}

/** The device after `device`, or before it; null if it is the only one. */
function secondDevice(device: string): DeviceName | null {
  const number = Number(device.slice('cuda:'.length))
  for (const other of [number + 1, number - 1]) {
    try {
      loadAddon().deviceMemory(`cuda:${other}`)
      return `cuda:${other}`
    } catch (error) {
      if (!(error as { code?: string }).code?.startsWith('ERR_')) throw error
    }
  }
  return null
}

/** Many draws of a prompt's next token against its probabilities on the CPU. */
async function checkSamples(source: string, device: DeviceName, draws: number): Promise<CheckRow> {
  const promptIds = prompts[0]!
  const cpu = await Model.load(source, { device: 'cpu', dtype: 'float32' })
  const every = Array.from({ length: vocabulary }, (_, id) => ({ ids: Int32Array.of(id) }))
  const [scores] = await Policy.base(cpu).logProbs([{ promptIds, completions: every }])
  const probabilities = scores!.logProbs.map(([logProb]) => Math.exp(logProb!))
  await cpu.dispose()
  const model = await Model.load(source, { device, dtype: 'float32' })
  const policy = Policy.base(model)
  const counts = new Array<number>(vocabulary).fill(0)
  const most = 1_000
  for (let drawn = 0; drawn < draws; drawn += most) {
    const options = { count: Math.min(most, draws - drawn), seed: 1 + drawn, maxNewTokens: 1, stopIds: [] }
    for (const { ids } of (await policy.generate([promptIds], options))[0]!.samples) counts[ids[0]!]!++
  }
  await model.dispose()
  const { value, bound } = chiSquare(counts, probabilities)
  const subject: Subject = { what: 'distribution of samples (χ²)', how: `${draws} draws`, dtype: 'float32' }
  return rowOf(subject, { value, place: 0, expected: 0, seen: value }, bound)
}

/** Two models that generate and are trained at the same time, each on a device, against both on the CPU. */
async function besideEachOther(source: string, devices: readonly DeviceName[], how: string): Promise<CheckRow[]> {
  const expected = await together(source, ['cpu', 'cpu'])
  const seen = await together(source, devices)
  const subject = (what: string): Subject => ({ what, how, dtype: 'float32' })
  return [
    sameIds(subject('two models side by side: tokens'), seen.ids, expected.ids),
    rowOf(
      subject('two models side by side: log-probs after a step'),
      largestDifference(seen.scores, expected.scores),
      5e-3,
    ),
  ]
}

async function together(
  source: string,
  devices: readonly DeviceName[],
): Promise<{ ids: number[][]; scores: number[] }> {
  const models = await Promise.all(devices.map((device) => Model.load(source, { device, dtype: 'float32' })))
  try {
    const policies = await Promise.all(models.map((model) => Policy.full(model)))
    const requests = policies.map((policy, agent) => ({
      policy,
      prompt: idsOf(20, 30 + agent),
      count: 4,
      stream: { seed: 9, step: 0, agent, prompt: 0, sample: 0 },
    }))
    const { generations } = await generateBatch(requests, { temperature: 1, maxNewTokens: 16, stopIds: [3, 4] })
    await accumulateBatch(policies.flatMap((policy) => groupsOf(policy)))
    await Promise.all(policies.map((policy) => policy.step({ learningRate: 1e-3 })))
    return {
      ids: generations.flatMap(({ samples }) => samples.map(({ ids }) => [...ids])),
      scores: (await Promise.all(policies.map(scoresOf))).flat(),
    }
  } finally {
    await Promise.all(models.map((model) => model.dispose()))
  }
}
