/** LoRA weights added to those of their base, on files: a block of rows at a time, so that neither memory nor the event loop fill up. */
import * as fs from 'node:fs'
import { promisify } from 'node:util'
import { ModelFormatError } from '../base/errors.ts'
import { close, openToRead, readBytes } from '../base/read-files.ts'
import { readSafetensorsHeader, type TensorEntry } from './safetensors.ts'

const open = promisify(fs.open)
const write = promisify(fs.write) as (
  descriptor: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
  position: number,
) => Promise<unknown>

/** About as many multiplications are done before others get their turn. */
const workPerBlock = 8_000_000

/**
 * Adds scale · B · A to every weight that an adapter sits on (Hu et al. 2021, section 4.1), in place.
 *
 * Sums are taken in float32; in a bfloat16 file the result is rounded to the nearest, half to even.
 *
 * @param baseFile safetensors file with the whole base, float32 or bfloat16; it is changed
 * @param adapterFile safetensors file with the adapter, float32, in PEFT's names
 * @throws ModelFormatError `ERR_MODEL_FORMAT` where the two do not fit each other; the signal's reason
 */
export async function mergeAdapter(
  baseFile: string,
  adapterFile: string,
  scale: number,
  signal?: AbortSignal,
): Promise<void> {
  const base = new Map((await readSafetensorsHeader(baseFile)).map((entry) => [entry.name, entry]))
  const adapter = new Map((await readSafetensorsHeader(adapterFile)).map((entry) => [entry.name, entry]))
  const [from, to] = [await openToRead(adapterFile), await open(baseFile, 'r+')]
  try {
    for (const [name, a] of adapter) {
      const [, module] = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(name) ?? []
      if (module === undefined) continue
      const b = adapter.get(`base_model.model.${module}.lora_B.weight`)
      const weight = base.get(`${module}.weight`)
      if (b === undefined || weight === undefined || !fit(a, b, weight))
        throw new ModelFormatError(
          'ERR_MODEL_FORMAT',
          `Expected ${adapterFile} to fit its base but "${name}" [${a.shape.join(', ')}] has no partner or no weight of its size.`,
          { details: { file: adapterFile, tensor: name } },
        )
      await addProduct(to, weight, await floats(from, a), await floats(from, b), scale, signal)
    }
    await promisify(fs.fsync)(to)
  } finally {
    await close(from)
    await close(to)
  }
}

/** (r, in), (out, r) and (out, in). */
function fit(a: TensorEntry, b: TensorEntry, weight: TensorEntry): boolean {
  const [[rank, inputs], [outputs, also]] = [a.shape, b.shape]
  return (
    a.dtype === 'F32' && b.dtype === 'F32' && rank === also && weight.shape[0] === outputs && weight.shape[1] === inputs
  )
}

async function floats(descriptor: number, { begin, shape }: TensorEntry): Promise<Float32Array> {
  const bytes = await readBytes(descriptor, begin, 4 * shape[0]! * shape[1]!)
  return new Float32Array(Uint8Array.from(bytes).buffer)
}

async function addProduct(
  file: number,
  { begin, dtype, shape }: TensorEntry,
  a: Float32Array,
  b: Float32Array,
  scale: number,
  signal?: AbortSignal,
): Promise<void> {
  const [outputs, inputs] = shape as [number, number]
  const rank = b.length / outputs
  const width = dtype === 'BF16' ? 2 : 4
  const rows = Math.max(1, Math.floor(workPerBlock / (inputs * rank)))
  for (let first = 0; first < outputs; first += rows) {
    signal?.throwIfAborted()
    const count = Math.min(rows, outputs - first)
    const place = begin + first * inputs * width
    const bytes = Uint8Array.from(await readBytes(file, place, count * inputs * width)).buffer
    const weights = dtype === 'BF16' ? fromBfloat16(new Uint16Array(bytes)) : new Float32Array(bytes)
    const delta = new Float32Array(inputs)
    for (let row = 0; row < count; row++) {
      delta.fill(0)
      for (let k = 0; k < rank; k++) {
        const factor = b[(first + row) * rank + k]!
        for (let i = 0; i < inputs; i++) delta[i]! += factor * a[k * inputs + i]!
      }
      for (let i = 0; i < inputs; i++) weights[row * inputs + i]! += scale * delta[i]!
    }
    const result = dtype === 'BF16' ? toBfloat16(weights) : weights
    await write(file, new Uint8Array(result.buffer), 0, result.byteLength, place)
  }
}

function fromBfloat16(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length)
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16
  return new Float32Array(bits.buffer)
}

/** Finite values only: weights were checked when they were loaded. */
function toBfloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer)
  const halves = new Uint16Array(values.length)
  for (let i = 0; i < bits.length; i++) halves[i] = (bits[i]! + 0x7f_ff + ((bits[i]! >>> 16) & 1)) >>> 16
  return halves
}
