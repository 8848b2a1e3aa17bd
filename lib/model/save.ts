/** Writes a model folder in Hugging Face layout. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { NativePolicy } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import type { Model } from './model.ts'
import { safetensorsHeader } from './safetensors.ts'

/** Files that go with the weights as they are, where the model has them. */
const companions = [
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'chat_template.jinja',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
]

/**
 * Writes configuration, weights and tokenizer to `folder`, so that `transformers` opens it.
 *
 * @param policy the full policy, or null for the bare base
 */
export async function writeModelFolder(folder: string, model: Model, policy: NativePolicy | null): Promise<void> {
  await mkdir(folder, { recursive: true })
  const config = JSON.parse(await readFile(join(model.folder, 'config.json'), 'utf8'))
  const { torch_dtype: _, ...rest } = config
  await writeFile(join(folder, 'config.json'), `${JSON.stringify({ ...rest, dtype: model.dtype }, null, 2)}\n`)
  for (const name of companions)
    await copyFile(join(model.folder, name), join(folder, name)).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
  const { native } = model
  const header = safetensorsHeader(policy?.tensors('weights') ?? native.tensors(), { format: 'pt' })
  const file = join(folder, 'model.safetensors')
  await callNative(async () => policy?.writeTensors('weights', file, header) ?? native.writeTensors(file, header))
}
