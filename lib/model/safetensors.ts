/**
 * The headers of safetensors files: 8 bytes of length, JSON, raw bytes. They are checked here in full before anything is
 * mapped; the bytes themselves are read and written in C++.
 */
import { basename, join } from 'node:path'
import { MagrpoError, ModelFormatError } from '../base/errors.ts'
import { inspect } from '../base/inspect.ts'
import { parseJson } from '../base/parse-json.ts'
import { close, fstat, openToRead, readBytes } from '../base/read-files.ts'
import { readJsonFile } from '../base/read-json.ts'
import type { NativeTensorInfo, NativeTensorSource } from '../native/addon-types.ts'

/** Bits of an element of each dtype of the format; only three of them can be weights, see {@link toNativeSource}. */
const bitsPerElement = new Map(
  Object.entries({
    ...{ F64: 64, F32: 32, F16: 16, BF16: 16, I64: 64, I32: 32, I16: 16, I8: 8, U64: 64, U32: 32, U16: 16, U8: 8 },
    ...{ BOOL: 8, C64: 64, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8 },
    ...{ F6_E2M3: 6, F6_E3M2: 6, F4: 4 },
  }),
)
const largestHeader = 100_000_000
const indexName = 'model.safetensors.index.json'

/** One tensor as the header lists it; `begin` and `end` count from the start of the file. */
export interface TensorEntry {
  name: string
  file: string
  dtype: string
  shape: number[]
  begin: number
  end: number
}

/**
 * The tensors of one safetensors file.
 *
 * @throws ModelFormatError `ERR_MODEL_FORMAT` naming the file and the tensor where the header and the file disagree,
 *   `ERR_MODEL_NOT_FOUND` if there is no such file
 */
export async function readSafetensorsHeader(file: string): Promise<TensorEntry[]> {
  const descriptor = await openToRead(file).catch((cause: NodeJS.ErrnoException) => {
    if (cause instanceof MagrpoError) throw cause
    throw new ModelFormatError(
      cause.code === 'ENOENT' ? 'ERR_MODEL_NOT_FOUND' : 'ERR_MODEL_FORMAT',
      `Expected a safetensors file at ${file} but it cannot be opened: ${cause.message}.`,
      { details: { file }, cause },
    )
  })
  try {
    return await readHeader(descriptor, file)
  } finally {
    await close(descriptor)
  }
}

async function readHeader(descriptor: number, file: string): Promise<TensorEntry[]> {
  const fail = (what: string, tensor?: string): never => {
    throw new ModelFormatError('ERR_MODEL_FORMAT', `${file} is not a valid safetensors file: ${what}.`, {
      details: { file, ...(tensor === undefined ? {} : { tensor }) },
    })
  }
  const stats = await fstat(descriptor)
  if (!stats.isFile()) fail('it is not a file')
  const { size } = stats
  if (size < 8) fail(`expected at least 8 bytes but it has ${size}`)
  const prefix = await readBytes(descriptor, 0, 8)
  const headerSize = Number(prefix.readBigUInt64LE())
  if (headerSize > largestHeader || 8 + headerSize > size)
    fail(`its header claims ${headerSize} bytes but the file has ${size}; it may be cut off`)
  const text = await readBytes(descriptor, 8, headerSize)
  let json: Record<string, { dtype?: unknown; shape?: unknown; data_offsets?: unknown }> = {}
  try {
    json = parseJson(text.toString('utf8')) as typeof json
  } catch (cause) {
    fail(`its header is not JSON (${(cause as Error).message})`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) fail('its header is not a JSON object')

  const dataSize = size - 8 - headerSize
  const entries: TensorEntry[] = []
  for (const [name, entry] of Object.entries(json)) {
    if (name === '__metadata__') continue
    const { dtype, shape, data_offsets: offsets } = entry ?? {}
    const bits = bitsPerElement.get(dtype as string)
    if (bits === undefined) fail(`tensor "${name}" has unknown dtype ${inspect(dtype)}`, name)
    if (!isCountList(shape)) fail(`tensor "${name}" has no valid shape`, name)
    if (!isCountList(offsets) || offsets.length !== 2) fail(`tensor "${name}" has no valid data_offsets`, name)
    const [begin, end] = offsets as [number, number]
    const bytes = ((shape as number[]).reduce((product, length) => product * length, 1) * (bits as number)) / 8
    if (end - begin !== bytes)
      fail(
        `tensor "${name}" of shape [${(shape as number[]).join(', ')}] needs ${bytes} bytes but has ${end - begin}`,
        name,
      )
    if (end > dataSize)
      fail(`tensor "${name}" ends at byte ${end} of the data but the file holds ${dataSize}; it may be cut off`, name)
    entries.push({ name, file, dtype: dtype as string, shape: shape as number[], begin, end })
  }
  // The format leaves no byte unused: an overlap or a hole means that header and data do not belong together.
  let covered = 0
  for (const { name, begin, end } of [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < covered) fail(`tensor "${name}" begins at byte ${begin}, inside the one before it`, name)
    if (begin > covered) fail(`tensor "${name}" begins at byte ${begin} and leaves a hole after byte ${covered}`, name)
    covered = end
  }
  if (covered !== dataSize) fail(`its tensors end at byte ${covered} of the data but the file holds ${dataSize}`)
  const start = 8 + headerSize
  return entries.map(({ begin, end, ...entry }) => ({ ...entry, begin: start + begin, end: start + end }))
}

function isCountList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0)
}

/**
 * The tensors of a model folder: of `model.safetensors`, else of the shards that `model.safetensors.index.json` names. Where both are
 * there, the single file counts, as in transformers.
 *
 * @throws ModelFormatError `ERR_MODEL_NOT_FOUND` if there is neither, `ERR_MODEL_FORMAT` if they are broken
 */
export async function readModelTensors(folder: string): Promise<TensorEntry[]> {
  const missing = (cause: unknown) => {
    if ((cause as MagrpoError).code !== 'ERR_MODEL_NOT_FOUND') throw cause
  }
  const single = await readSafetensorsHeader(join(folder, 'model.safetensors')).catch(missing)
  if (single !== undefined) return single
  const map = await weightMap(folder)
  if (map === undefined)
    throw new ModelFormatError(
      'ERR_MODEL_NOT_FOUND',
      `Expected model.safetensors or model.safetensors.index.json in ${folder} but found neither.`,
      { details: { folder } },
    )
  const fail = failIn(join(folder, indexName))
  const entries = new Map<string, TensorEntry>()
  for (const shard of new Set(Object.values(map))) {
    const listed =
      (await readSafetensorsHeader(join(folder, shard)).catch(missing)) ?? fail(`names ${shard}, which is missing`)
    for (const entry of listed) entries.set(`${shard}/${entry.name}`, entry)
  }
  return Object.entries(map).map(
    ([name, shard]) => entries.get(`${shard}/${name}`) ?? fail(`names tensor "${name}" in ${shard}, which lacks it`),
  )
}

/**
 * Names of the files that `model.safetensors.index.json` of a folder lists.
 *
 * @throws ModelFormatError `ERR_MODEL_FORMAT` if it is broken
 */
export async function shardsOf(folder: string): Promise<string[]> {
  return [...new Set(Object.values((await weightMap(folder)) ?? {}))]
}

/** The file of each tensor, as an index says; each is the name of a file beside it. */
async function weightMap(folder: string): Promise<Record<string, string> | undefined> {
  const json = await readJsonFile(folder, indexName)
  if (json === undefined) return undefined
  const fail = failIn(join(folder, indexName))
  const { weight_map: map } = json
  if (typeof map !== 'object' || map === null || Array.isArray(map)) return fail('expected an object "weight_map"')
  for (const shard of Object.values(map))
    if (typeof shard !== 'string' || basename(shard) !== shard || /^\.*$/.test(shard))
      fail(`${inspect(shard)} is not the name of a file beside it`)
  return map as Record<string, string>
}

const failIn =
  (file: string) =>
  (what: string): never => {
    throw new ModelFormatError('ERR_MODEL_FORMAT', `${file}: ${what}.`, { details: { file } })
  }

/** A tensor of an optimizer's state as the addon reads it: codes are bytes. @throws ModelFormatError as {@link toNativeSource} */
export function stateSource(entry: TensorEntry): NativeTensorSource {
  if (entry.dtype !== 'U8') return toNativeSource(entry)
  const { end: _, dtype, ...source } = entry
  return { ...source, dtype }
}

/** A tensor as the addon reads it. @throws ModelFormatError for dtypes that weights are not stored in */
export function toNativeSource(entry: TensorEntry): NativeTensorSource {
  if (entry.dtype !== 'F32' && entry.dtype !== 'F16' && entry.dtype !== 'BF16')
    throw new ModelFormatError(
      'ERR_MODEL_UNSUPPORTED',
      `Expected dtype F32, F16 or BF16 for tensor "${entry.name}" but ${entry.file} has ${entry.dtype}.`,
      { details: { file: entry.file, tensor: entry.name } },
    )
  const { end: _, dtype, ...source } = entry
  return { ...source, dtype }
}

/**
 * Header bytes of a file that holds `tensors` one after the other; the tensors' bytes follow it. Padded with spaces to a
 * multiple of 64, so that data is aligned.
 */
export function safetensorsHeader(tensors: readonly NativeTensorInfo[], metadata: Record<string, string>): Uint8Array {
  let offset = 0
  const entries = tensors.map(({ name, dtype, shape }) => {
    const begin = offset
    offset += shape.reduce((product, length) => product * length, 1) * (bitsPerElement.get(dtype)! / 8)
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const
  })
  const json = JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) })
  const size = Math.ceil((8 + Buffer.byteLength(json)) / 64) * 64
  const bytes = Buffer.alloc(size, ' ')
  bytes.writeBigUInt64LE(BigInt(size - 8))
  bytes.write(json, 8, 'utf8')
  return bytes
}
