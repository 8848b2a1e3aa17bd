import { type Command, Option } from 'commander'
import { downloadLines } from '../ui/download-lines.ts'
import { type Device, deviceName, integerFrom } from './option-values.ts'
import { note } from './output.ts'

/** Options of commands that run one model on input lines. */
export interface ModelOptions {
  model: string
  adapter?: string
  dtype: 'auto' | 'float32' | 'bfloat16'
  device: Device
  batchSize: number
}

/** Adds {@link ModelOptions} to a command. */
export function addModelOptions(command: Command): Command {
  return command
    .requiredOption('--model <name>', 'folder in Hugging Face layout, org/name of the hub (@revision), or builtin:NAME')
    .option('--adapter <name>', 'PEFT adapter over the model: folder, or org/name of the hub (@revision)')
    .addOption(dtypeOption())
    .option('--device <name>', 'auto, cpu or cuda:N', deviceName, 'auto')
    .option('--batch-size <lines>', 'input lines computed at once', integerFrom(1), 32)
}

/** `--dtype`; `auto` is that of config.json. */
export function dtypeOption(): Option {
  return new Option('--dtype <type>', "numbers computed with; auto is config.json's")
    .choices(['auto', 'float32', 'bfloat16'])
    .default('auto')
}

/** Loads the model and what runs it: the adapter, or the bare model. Dispose both when done. */
export async function openPolicy(options: ModelOptions, signal: AbortSignal) {
  const { Model } = await import('../model/model.ts')
  const { Policy } = await import('../model/policy.ts')
  const { device, dtype } = options
  const download = { signal, onDownload: downloadLines(note, note) }
  const model = await Model.load(options.model, { device, dtype, ...download })
  try {
    const { adapter } = options
    const policy = adapter === undefined ? Policy.base(model) : await Policy.fromAdapter(model, adapter, download)
    const dispose = async () => {
      await policy.dispose()
      await model.dispose()
    }
    return { policy, dispose }
  } catch (error) {
    await model.dispose()
    throw error
  }
}
