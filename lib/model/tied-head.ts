/** A tied head that a checkpoint holds as well: whether it is the embedding, as transformers decides it. */
import { close, openToRead, readBytes } from '../base/read-files.ts'
import { architectureSpec } from './architecture.ts'
import type { ModelConfig } from './config.ts'
import type { TensorEntry } from './safetensors.ts'

/** Bytes of each tensor that are compared at a time. */
const pieceBytes = 1 << 20

/**
 * Settles which of embedding and head count where `config.json` ties them. A head equal to the embedding is left out, a different one
 * is kept and the two are not tied, and a head alone is the embedding.
 */
export async function settleTie<Config extends Pick<ModelConfig, 'architecture' | 'tieWordEmbeddings'>>(
  tensors: readonly TensorEntry[],
  config: Config,
): Promise<{ tensors: TensorEntry[]; config: Config }> {
  const spec = architectureSpec(config.architecture)!
  const names = { embedding: `${spec.embedding.tensor}.weight`, head: `${spec.head}.weight` }
  const [embedding, head] = [names.embedding, names.head].map((name) => tensors.find((entry) => entry.name === name))
  if (!config.tieWordEmbeddings || head === undefined) return { tensors: [...tensors], config }
  if (embedding !== undefined && !(await haveEqualBytes(embedding, head)))
    return { tensors: [...tensors], config: { ...config, tieWordEmbeddings: false } }
  const others = tensors.filter((entry) => entry !== head)
  return { tensors: embedding ? others : [...others, { ...head, name: names.embedding }], config }
}

async function haveEqualBytes(a: TensorEntry, b: TensorEntry): Promise<boolean> {
  const sizes = [a, b].map(({ begin, end }) => end - begin)
  if (a.dtype !== b.dtype || sizes[0] !== sizes[1]) return false
  const files = [await openToRead(a.file)]
  try {
    files.push(await openToRead(b.file))
    for (let at = 0; at < sizes[0]!; at += pieceBytes) {
      const length = Math.min(pieceBytes, sizes[0]! - at)
      const [left, right] = await Promise.all([a, b].map(({ begin }, i) => readBytes(files[i]!, begin + at, length)))
      if (!left!.equals(right!)) return false
    }
    return true
  } finally {
    await Promise.all(files.map((file) => close(file)))
  }
}
