/** The memory that is planned beside the memory that runs really took, each in a process of its own. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { repositoryDir, skip, smolModel } from '../support/fixtures.ts'
import type { MemoryCase, MemoryOutcome } from '../support/memory-case.ts'
import { type RandomShape, writeRandomModel } from '../support/random-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

/** The sizes of stories260K. */
const story: RandomShape = { layers: 5, hidden: 64, heads: 8, kvHeads: 4, headDim: 8, mlp: 172, vocab: 512 }
const tiny: RandomShape = { layers: 4, hidden: 256, heads: 8, kvHeads: 4, headDim: 32, mlp: 768, vocab: 4096 }
const m30: RandomShape = { layers: 8, hidden: 512, heads: 8, kvHeads: 4, headDim: 64, mlp: 1536, vocab: 8192 }

const mega = 2 ** 20

/** What a plan may be of what was measured. Above 1: it is an upper estimate; but it must not refuse what runs. */
const bounds = { least: 0.95, most: 1.7 }

type Case = Omit<MemoryCase, 'model'>
const small: Case = { kind: 'full', agents: 2, groupSize: 8, prompts: 1, promptTokens: 128, newTokens: 64 }

const cases: { name: string; model: RandomShape | string | undefined; settings: Case; most?: number }[] = [
  {
    name: 'mini-code',
    model: join(repositoryDir, 'models/mini-code'),
    settings: { ...small, prompts: 8, promptTokens: 33 },
  },
  { name: 'story', model: story, settings: { ...small, prompts: 4, promptTokens: 38, newTokens: 400 } },
  {
    name: 'tldr-smollm2',
    model: smolModel(),
    settings: { ...small, kind: 'lora', groupSize: 4, promptTokens: 300, newTokens: 100 },
  },
  { name: 'tiny, all weights', model: tiny, settings: small },
  { name: 'm30, all weights', model: m30, settings: small },
  { name: 'm30, all weights, several passes', model: m30, settings: { ...small, prompts: 8 } },
  { name: 'm30, adapters', model: m30, settings: { ...small, kind: 'lora' } },
  { name: 'm30, moments in 8 bits', model: m30, settings: { ...small, moments: 'int8' } },
  { name: 'm30, bfloat16', model: m30, settings: { ...small, dtype: 'bfloat16' } },
  // What is kept is known; how much of it the heap really gives back between layers is not.
  {
    name: 'm30, checkpointing',
    model: m30,
    settings: { ...small, prompts: 3, activationCheckpointing: true },
    most: 2,
  },
]

for (const { name, model, settings, most = bounds.most } of cases)
  test.serial(`${name}: the plan is at least what the run takes, and not far above`, async (t) => {
    if (model === undefined) return skip(t, name)
    let folder = model as string
    if (typeof model !== 'string') {
      folder = await temporaryFolder(t)
      writeRandomModel(folder, model)
    }
    const script = join(repositoryDir, 'test/support/memory-case.ts')
    const request: MemoryCase = { ...settings, model: folder }
    const args = [`--import=${import.meta.resolve('tsx')}`, script, JSON.stringify(request)]
    const run = await promisify(execFile)(process.execPath, args, { cwd: repositoryDir }).catch((error: Error) => error)
    if (run instanceof Error) {
      if (!run.message.includes('ERR_OUT_OF_MEMORY')) throw run
      return skip(t, `enough free memory for ${name}`)
    }
    const { stdout } = run
    const { planned, measured, parts } = JSON.parse(stdout.trim().split('\n').at(-1)!) as MemoryOutcome
    const ratio = planned / measured
    const shown = parts.map((part) => `${part.name} ${Math.round(part.bytes / mega)}`).join(', ')
    t.log(
      `planned ${Math.round(planned / mega)} MiB, measured ${Math.round(measured / mega)}: ${ratio.toFixed(2)} (${shown})`,
    )
    t.true(ratio >= bounds.least && ratio <= most, `${ratio}`)
  })
