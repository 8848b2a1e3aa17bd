/** A Python whose PyTorch can use a GPU, for the columns of transformers and TRL. It is looked for and never made: that needs a network. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Session } from '../session.ts'
import { Worker } from '../worker.ts'

/** The peers' side on a GPU. */
export interface GpuPeer {
  versions: Record<string, string>
  start(env: NodeJS.ProcessEnv): Worker
}

const probe = `
import json
from importlib.metadata import version
import torch, transformers
found = {"torch": torch.__version__, "transformers": transformers.__version__}
try: found["trl"] = version("trl")
except Exception: pass
print(json.dumps({"cuda": torch.cuda.is_available(), "versions": found}))
`

/** `MAGRPO_BENCH_PYTHON`, else `python3` on PATH. @returns why there is none that fits */
export async function gpuPeer({ env: shared }: Session): Promise<GpuPeer | string> {
  const python = process.env.MAGRPO_BENCH_PYTHON || 'python3'
  try {
    const { stdout } = await promisify(execFile)(python, ['-c', probe], { timeout: 120_000 })
    const { cuda, versions } = JSON.parse(stdout.trim().split('\n').at(-1)!) as {
      cuda: boolean
      versions: Record<string, string>
    }
    if (!cuda) return `PyTorch ${versions.torch} of ${python} finds no GPU`
    const program = fileURLToPath(new URL('../peers/worker.py', import.meta.url))
    return { versions, start: (env) => new Worker('peer', python, [program], { ...shared, ...env }) }
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n').at(-1)
    return `${python} has no PyTorch with transformers (${said || (error as Error).message})`
  }
}
