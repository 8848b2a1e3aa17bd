/** Model folders of any shape with made-up weights, for what no download is needed: checks of a device, speed, memory. */
import { type FileHandle, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { uniform } from '../base/random.ts'
import { architectureSpec, projectionsOf, type Width } from '../model/architecture.ts'
import { type ModelConfig, parseModelConfig, tensorNames } from '../model/config.ts'
import { safetensorsHeader } from '../model/safetensors.ts'

/** What {@link writeRandomModel} writes. */
export interface RandomModel {
  /** The content of `config.json`, as Hugging Face writes it; its `dtype` is what the file holds. */
  config: Record<string, unknown> & { model_type: string; dtype: 'float32' | 'bfloat16' }
  /** `zeros`: a file that takes no space on the disk, for what asks for sizes alone. Defaults to `random`. */
  weights?: 'random' | 'zeros'
  /** Defaults to `0`. */
  seed?: number
}

/** A prime, so that no two rows of a matrix are equal. */
const period = 65_521

/**
 * Writes `config.json` and `model.safetensors` into a folder that exists; the model has no tokenizer. Every weight is a number of bfloat16
 * whatever the file's dtype is, so that a model loaded in either has the same. Log-probabilities differ by some nats.
 *
 * @throws ModelFormatError as `Model.load` for a configuration it would refuse
 */
export async function writeRandomModel(
  folder: string,
  { config, weights = 'random', seed = 0 }: RandomModel,
): Promise<void> {
  const file = join(folder, 'config.json')
  const parsed = parseModelConfig(config, file)
  await writeFile(file, JSON.stringify(config))
  const dtype = config.dtype === 'float32' ? 'F32' : 'BF16'
  const tensors = [...tensorNames(parsed)].map((name) => ({ name, dtype, shape: shapeOf(parsed, name) }) as const)
  const header = safetensorsHeader(tensors, { format: 'pt' })
  const handle = await open(join(folder, 'model.safetensors'), 'w')
  try {
    await handle.writeFile(header)
    if (weights === 'zeros') {
      const bytes = tensors.reduce((sum, { shape }) => sum + count(shape) * (dtype === 'F32' ? 4 : 2), header.length)
      await handle.truncate(bytes)
      return
    }
    const values = Float32Array.from({ length: period }, (_, i) => 2 * uniform(seed, 1, i) - 1)
    for (const [number, { name, shape }] of tensors.entries())
      await writeRepeated(handle, blockOf(parsed, name, shape, values, number), count(shape), dtype)
  } finally {
    await handle.close()
  }
}

const count = (shape: readonly number[]) => shape.reduce((product, length) => product * length, 1)

/** Rows and columns of a tensor by its name in the checkpoint. */
function shapeOf(config: ModelConfig, name: string): number[] {
  const { embedding, head, attention } = architectureSpec(config.architecture)!
  const { hiddenSize, vocabSize, headDim, numHeads, numKvHeads, intermediateSize } = config
  const width: Record<Width, number> = {
    hidden: hiddenSize,
    query: numHeads * headDim,
    key: numKvHeads * headDim,
    mlp: intermediateSize,
  }
  if (name === `${embedding.tensor}.weight` || name === `${head}.weight`) return [vocabSize, hiddenSize]
  const general = name.replace(/\.layers\.\d+\./, '.layers.{layer}.')
  for (const { tensor, in: from, out: to } of projectionsOf(config.architecture).values()) {
    if (general === `${tensor}.weight`) return [width[to], width[from]]
    if (general === `${tensor}.bias`) return [width[to]]
  }
  return general === `${attention.query_norm}.weight` || general === `${attention.key_norm}.weight`
    ? [headDim]
    : [hiddenSize]
}

/** One period of a tensor's numbers: matrices keep the size of what they multiply, embeddings twice that, norms are about 1. */
function blockOf(
  config: ModelConfig,
  name: string,
  shape: readonly number[],
  values: Float32Array,
  number: number,
): Float32Array {
  const { embedding, head, norm_weight_offset = 0 } = architectureSpec(config.architecture)!
  const isTable = name === `${embedding.tensor}.weight` || name === `${head}.weight`
  const scale = shape.length === 1 ? 0.2 : ((isTable ? 2 : 1) * Math.sqrt(3)) / Math.sqrt(shape[1]!)
  const middle = shape.length === 1 && !name.endsWith('.bias') ? 1 - norm_weight_offset : 0
  const block = Float32Array.from(values, (_, i) => middle + scale * values[(i + 7919 * number) % period]!)
  const bits = new Uint32Array(block.buffer)
  for (let i = 0; i < bits.length; i++) bits[i] = ((bits[i]! + 0x8000) & 0xffff_0000) >>> 0
  return block
}

async function writeRepeated(
  handle: FileHandle,
  block: Float32Array,
  numbers: number,
  dtype: 'F32' | 'BF16',
): Promise<void> {
  const halves = dtype === 'F32' ? block : Uint16Array.from(new Uint32Array(block.buffer), (bits) => bits >>> 16)
  const bytes = Buffer.from(halves.buffer, halves.byteOffset, halves.byteLength)
  const size = halves.BYTES_PER_ELEMENT
  // Many periods at a time: one write each would take most of the time.
  const many = numbers > 64 * period ? Buffer.concat(Array.from({ length: 64 }, () => bytes)) : bytes
  for (let left = numbers * size; left > 0; left -= many.length)
    await handle.write(many, 0, Math.min(left, many.length))
}
