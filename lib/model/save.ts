/** Writes a model folder in Hugging Face layout. */
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { makeFolder } from '../base/make-folder.ts'
import { replaceFile, writing } from '../base/write-file.ts'
import type { NativePolicy } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import { mergeAdapter } from './merge.ts'
import type { Model } from './model.ts'
import { companionFiles } from './names.ts'
import { safetensorsHeader } from './safetensors.ts'

/**
 * Writes a model folder whose weights are the base with an adapter added to them; nothing of an adapter is left to load.
 *
 * @param scale what B·A is multiplied with
 * @throws MagrpoError `ERR_RUN` where the folder cannot be written
 */
export async function writeMergedFolder(
  folder: string,
  model: Model,
  adapter: NativePolicy,
  scale: number,
): Promise<void> {
  const header = safetensorsHeader(adapter.tensors('weights'), { format: 'pt' })
  await writeModelFolder(folder, model, null, async (file) => {
    const beside = `${file}.adapter`
    try {
      await callNative(() => adapter.writeTensors('weights', beside, header))
      await mergeAdapter(file, beside, scale)
    } finally {
      await rm(beside, { force: true })
    }
  })
}

/**
 * Writes configuration, weights and tokenizer to `folder`, so that `transformers` opens it.
 *
 * @param policy the full policy, or null for the bare base
 * @param change changes the file of weights before it gets its name
 * @throws MagrpoError `ERR_RUN` where the folder cannot be written
 */
export async function writeModelFolder(
  folder: string,
  model: Model,
  policy: NativePolicy | null,
  change: (file: string) => Promise<void> = async () => {},
): Promise<void> {
  const { native } = model
  const header = safetensorsHeader(policy?.tensors('weights') ?? native.tensors(), { format: 'pt' })
  const file = join(folder, 'model.safetensors')
  await writing(folder, async () => {
    await makeFolder(folder)
    const config = JSON.parse(await readFile(join(model.folder, 'config.json'), 'utf8'))
    const { torch_dtype: _, ...rest } = config
    // What the weights are, where they are not what the file asks for.
    const settled = { ...rest, tie_word_embeddings: model.config.tieWordEmbeddings, dtype: model.dtype }
    await replaceFile(file, async (part) => {
      await callNative(async () => policy?.writeTensors('weights', part, header) ?? native.writeTensors(part, header))
      await change(part)
    })
    await writeFile(join(folder, 'config.json'), `${JSON.stringify(settled, null, 2)}\n`)
    // An index of older shards would name weights that are not these.
    await rm(join(folder, 'model.safetensors.index.json'), { force: true })
    if (resolve(folder) === resolve(model.folder)) return
    for (const name of companionFiles)
      await copyFile(join(model.folder, name), join(folder, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
  })
}
