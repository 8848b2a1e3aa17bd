/** Writes a model folder in Hugging Face layout. */
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { NativePolicy } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import type { Model } from './model.ts'
import { safetensorsHeader } from './safetensors.ts'
import { replaceFile, writing } from './write-file.ts'

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
 * @throws MagrpoError `ERR_RUN` where the folder cannot be written
 */
export async function writeModelFolder(folder: string, model: Model, policy: NativePolicy | null): Promise<void> {
  const { native } = model
  const header = safetensorsHeader(policy?.tensors('weights') ?? native.tensors(), { format: 'pt' })
  const file = join(folder, 'model.safetensors')
  await writing(folder, async () => {
    await mkdir(folder, { recursive: true })
    const config = JSON.parse(await readFile(join(model.folder, 'config.json'), 'utf8'))
    const { torch_dtype: _, ...rest } = config
    await replaceFile(file, (part) =>
      callNative(async () => policy?.writeTensors('weights', part, header) ?? native.writeTensors(part, header)),
    )
    await writeFile(join(folder, 'config.json'), `${JSON.stringify({ ...rest, dtype: model.dtype }, null, 2)}\n`)
    // An index of older shards would win over the file just written.
    await rm(join(folder, 'model.safetensors.index.json'), { force: true })
    if (resolve(folder) === resolve(model.folder)) return
    for (const name of companions)
      await copyFile(join(model.folder, name), join(folder, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
  })
}
