/** Whether a plan fits the memory that is free, and what to change where it does not. */
import { OutOfMemoryError } from '../../base/errors.ts'
import { formatBytes } from '../../base/format.ts'
import { type FreeDeviceMemory, type FreeMemory, freeMemoryOf, limitOf } from '../../native/free-memory.ts'
import type { DeviceMemory, MemoryPart, MemoryPlan } from './plan.ts'

/** Share of the free memory above which a plan is worth a warning. */
const warningShare = 0.85

/** The plan of a device beside what is free there. */
export interface MemoryVerdict {
  device: DeviceMemory
  /** What the process has already counts as free. */
  freeBytes: number
  from: FreeMemory['from']
  verdict: 'fits' | 'tight' | 'too much'
}

/** What says how much is free on a device. */
export type FreeOf = (device: string) => FreeDeviceMemory

/** What can be said of a plan, for each of its devices. */
export function compareWithFree(plan: MemoryPlan, freeOf: FreeOf = freeMemoryOf): MemoryVerdict[] {
  return plan.devices.map((device) => {
    const { bytes, heldBytes, from } = freeOf(device.device)
    const freeBytes = bytes + heldBytes
    const share = device.peakBytes / freeBytes
    return { device, freeBytes, from, verdict: share > 1 ? 'too much' : share > warningShare ? 'tight' : 'fits' }
  })
}

/** The verdict that decides whether a run starts. */
export function worstOf(verdicts: readonly MemoryVerdict[]): MemoryVerdict {
  const order = ['fits', 'tight', 'too much']
  return verdicts.reduce((worst, each) => (order.indexOf(each.verdict) > order.indexOf(worst.verdict) ? each : worst))
}

/**
 * Refuses a run that does not fit: Linux would kill the process in the middle of it.
 *
 * @returns a warning where it is close, else null
 * @throws OutOfMemoryError `ERR_OUT_OF_MEMORY` with the parts, and the settings that the largest one hangs on; `details` has the plan
 */
export function checkMemory(plan: MemoryPlan | null, freeOf?: FreeOf): string | null {
  const judged = plan && worstOf(compareWithFree(plan, freeOf))
  if (plan === null || judged === null || judged.verdict === 'fits') return null
  const { device, freeBytes } = judged
  const numbers =
    `up to ${formatBytes(device.peakBytes)} (while ${device.peak === 'training' ? 'it trains' : 'it generates'}), and ` +
    `${formatBytes(freeBytes)} are free${limitOf(judged.from)}`
  const { part, knob } = largestOf(plan, device)
  const own = device.parts.find(({ name }) => name === 'process')?.bytes ?? 0
  const advice =
    own > freeBytes
      ? `The process alone, before anything is trained, takes ${formatBytes(own)}: no setting of the run makes it fit.`
      : `The largest part is ${part.name}, ${formatBytes(part.bytes)}: ${knob}.`
  if (judged.verdict === 'tight') return `The run may take ${numbers}. ${advice}`
  const parts = partsOf(device).map(({ name, bytes }) => `  ${name.padEnd(12)}${formatBytes(bytes)}`)
  throw new OutOfMemoryError(
    'ERR_OUT_OF_MEMORY',
    [
      `The run may take more memory than there is: ${numbers}. ${advice}`,
      ...parts,
      `The plan is an upper estimate; ${device.device === 'cpu' ? 'MAGRPO_MEMORY_LIMIT' : 'MAGRPO_CUDA_MEMORY_LIMIT'}=SIZE sets what ` +
        'counts as free instead.',
    ].join('\n'),
    { details: { plan, freeBytes, from: judged.from, largest: part.name } },
  )
}

/** The parts of the phase that has the peak. */
export function partsOf({ parts, peak }: DeviceMemory): MemoryPart[] {
  return parts.filter(({ during }) => during === 'always' || during === peak)
}

function largestOf(plan: MemoryPlan, device: DeviceMemory): { part: MemoryPart; knob: string } {
  // Nothing can be done about the process itself.
  const parts = partsOf(device).filter(({ name }) => name !== 'process')
  const part = parts.reduce((most, each) => (each.bytes > most.bytes ? each : most))
  return { part, knob: adviceFor(plan, part) }
}

/** The setting that a part hangs on, as advice. */
export function adviceFor({ facts, rows, passTokens }: MemoryPlan, { name }: Pick<MemoryPart, 'name'>): string {
  switch (name) {
    case 'weights':
      return facts.isFull
        ? 'share one base between the agents (team.adapter with a rank instead of full), or set team.dtype to bfloat16'
        : 'set team.dtype to bfloat16, or take a smaller model'
    case 'masters':
    case 'moments':
    case 'gradients': {
      const spread = name !== 'gradients' && facts.isSpreadable ? 'set optimizer.sharded, or ' : ''
      const away = name !== 'gradients' && facts.isOffloadable ? 'set optimizer.offload, or ' : ''
      const shorter = name === 'moments' && facts.moments !== 'int8' ? 'set optimizer.moments to int8, or ' : ''
      const fewer = facts.isFull
        ? 'train adapters (team.adapter with a rank) instead of all weights (full)'
        : 'lower team.adapter.rank, or adapt fewer projections (team.adapter.targets)'
      return spread + away + shorter + fewer
    }
    case 'kept':
      return 'turn sampling.topP and sampling.minP off, or set algorithm.logProbs to model'
    case 'cache':
    case 'decoding': {
      if (facts.isEvaluation)
        return `an evaluation decodes ${rows} completions at once; lower evalItems or sampling.maxNewTokens`
      const what = facts.grows
        ? 'algorithm.turns (each turn branches again), algorithm.groupSize'
        : facts.promptsPerStep > 1
          ? 'promptsPerStep, algorithm.groupSize'
          : 'algorithm.groupSize'
      return `${rows} completions are decoded at once; lower ${what} or sampling.maxNewTokens`
    }
    default:
      return facts.groupTokens >= passTokens
        ? `a prompt with its completions, ${facts.groupTokens} tokens, is one pass; lower algorithm.groupSize or sampling.maxNewTokens` +
            (facts.checkpointing ? '' : ', or set activationCheckpointing')
        : `one pass has up to ${passTokens} tokens; lower maxTokensPerMicroBatch` +
            (facts.checkpointing ? '' : ', or set activationCheckpointing')
  }
}
