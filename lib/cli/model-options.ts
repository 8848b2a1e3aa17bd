import { type Command, Option } from 'commander'
import { modelFolder } from '../run/model-source.ts'
import { type Device, deviceName, integerFrom } from './option-values.ts'

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
    .requiredOption('--model <folder>', 'model in Hugging Face layout (or fixture:NAME, builtin:NAME)')
    .option('--adapter <folder>', 'PEFT adapter over the model')
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
  const model = await Model.load(modelFolder(options.model), { device, dtype, signal })
  try {
    const policy = options.adapter === undefined ? Policy.base(model) : await Policy.fromAdapter(model, options.adapter)
    const dispose = async () => {
      await policy.dispose()
      await model.dispose()
    }
    return { model, policy, dispose }
  } catch (error) {
    await model.dispose()
    throw error
  }
}
