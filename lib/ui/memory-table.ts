import { formatBytes } from '../base/format.ts'
import type { MemoryVerdict } from '../rl/memory/fit.ts'
import type { DeviceMemory, MemoryPart, MemoryPlan } from '../rl/memory/plan.ts'

const phases: Record<MemoryPart['during'], string> = {
  always: '',
  generation: 'while it generates',
  training: 'while it trains',
}

/** A memory plan for people: one line per part, the peak of each device, and what is free. */
export function memoryTable(plan: MemoryPlan, judged: readonly MemoryVerdict[]): string[] {
  const { rows, passTokens, promptTokens } = plan
  return [
    `up to ${rows} completions at once, ${passTokens} tokens a pass, prompts of ${promptTokens} tokens`,
    ...plan.devices.flatMap((device) => deviceLines(device, judged.find((each) => each.device === device)!)),
  ]
}

function deviceLines({ device, parts, peak, peakBytes }: DeviceMemory, { freeBytes, from }: MemoryVerdict): string[] {
  const row = (name: string, bytes: number, note: string) =>
    `  ${name.padEnd(13)}${formatBytes(bytes).padStart(9)}  ${note}`.trimEnd()
  return [
    device,
    ...parts.map(({ name, bytes, during }) => row(name, bytes, phases[during])),
    row('peak', peakBytes, phases[peak]),
    row('free', freeBytes, from === 'system' || from === 'device' ? '' : from),
  ]
}
