/** What the memory plan of a run expects of a device against what the device's allocator gave at most. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { formatBytes } from '../base/format.ts'
import { Model } from '../model/model.ts'
import { softwareVariant } from '../native/addon-types.ts'
import { loadAddon } from '../native/load-addon.ts'
import { magrpo } from '../rl/algorithms/magrpo.ts'
import { Team } from '../rl/team/team.ts'
import { train } from '../session/train.ts'
import { defineTask } from '../tasks/task/define-task.ts'
import { type DeviceName, idsOf } from './models.ts'
import { writeRandomModel } from './random-model.ts'
import type { CheckRow, StageRequest } from './types.ts'

const mega = 2 ** 20

/** Trains two models for two steps. The plan is an upper estimate; libraries of a GPU take some memory of their own for work. */
export async function checkMemory({ device, quick, folder }: StageRequest): Promise<CheckRow> {
  const isGpu = loadAddon().info().variant !== softwareVariant
  const size = isGpu ? (quick ? 8 : 16) : 1
  const source = join(folder, 'memory')
  await mkdir(source, { recursive: true })
  await writeRandomModel(source, {
    config: {
      model_type: 'qwen3',
      dtype: 'float32',
      vocab_size: 4096 * (isGpu ? 4 : 1),
      hidden_size: 64 * size,
      intermediate_size: 192 * size,
      num_hidden_layers: isGpu ? 8 : 2,
      num_attention_heads: 8,
      num_key_value_heads: 4,
      head_dim: 16 * (isGpu ? 4 : 1),
      max_position_embeddings: 2048,
      rope_theta: 10_000,
      tie_word_embeddings: true,
    },
  })
  const names = ['one', 'two']
  const load = () => Model.load(source, { device: device as DeviceName, dtype: 'float32' })
  const team = await Team.of([
    { name: names[0]!, model: await load() },
    { name: names[1]!, model: await load() },
  ])
  let calls = 0
  const task = defineTask({
    name: 'memory',
    agents: names,
    items: [0, 1],
    // A model without a tokenizer takes ids, which the task's type does not name.
    observe: (item: number, agent: number) => idsOf(isGpu ? 256 : 48, 2 * item + agent) as unknown as string,
    reward: () => calls++ % 7,
  })
  const run = train({
    team,
    task,
    algorithm: magrpo({ groupSize: 8 }),
    sampling: { maxNewTokens: isGpu ? 64 : 8, stopIds: [] },
    optimizer: { learningRate: 1e-5 },
    steps: 2,
    promptsPerStep: 2,
  })
  const planned = run.plan()!.devices.find((each) => each.device === device)!.peakBytes
  await run.result
  const { peakBytes } = loadAddon().deviceMemory(device)
  const spare = (isGpu ? 128 : 1) * mega
  const bound = planned + spare
  const passed = peakBytes <= bound
  return {
    what: 'memory plan (MiB)',
    how: `planned ${formatBytes(planned)}, taken ${formatBytes(peakBytes)}`,
    dtype: 'float32',
    cases: 1,
    difference: peakBytes / mega,
    bound: bound / mega,
    passed,
    failure: passed
      ? null
      : `expected at most ${formatBytes(bound)} but the device's allocator gave ${formatBytes(peakBytes)}`,
  }
}
