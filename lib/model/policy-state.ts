/** Everything of a policy that training changes, as files: what it goes on from, to the bit. */
import { MagrpoError } from '../base/errors.ts'
import type { NativePolicy, NativeRanks, NativeSection } from '../native/addon-types.ts'
import { callNative } from '../native/call.ts'
import type { Policy } from './policy.ts'
import { readSafetensorsHeader, safetensorsHeader, stateSource } from './safetensors.ts'
import { throwFirst } from './token-tree.ts'

type StateSection = Exclude<NativeSection, 'gradients'>

/** Order matters: float32 masters are made of bfloat16 weights as these are read, and then overwritten by their own bits. */
const sections: readonly StateSection[] = ['weights', 'optimizer', 'valueHead']

const fileOf = (prefix: string, section: StateSection) => `${prefix}.${section}.safetensors`

/** The sections a policy has; only some have a value head. */
function sectionsOf(native: NativePolicy): StateSection[] {
  return sections.filter((section) => native.tensors(section).length > 0)
}

/**
 * Writes weights, the optimizer's moments and step count (and masters of bfloat16 weights), and the value head if there is one, to
 * `PREFIX.weights.safetensors`, `PREFIX.optimizer.safetensors` and `PREFIX.valueHead.safetensors`.
 *
 * What is written is the state at the call, which hands all of it to the core at once; the files are on the disk when the promise
 * settles.
 *
 * @throws MagrpoError `ERR_RUN` where a file cannot be written
 */
export async function writePolicyState(policy: Policy, prefix: string): Promise<void> {
  const native = trainable(policy)
  const writes = sectionsOf(native).map((section) =>
    callNative(() =>
      native.writeTensors(section, fileOf(prefix, section), safetensorsHeader(native.tensors(section), {})),
    ),
  )
  throwFirst(await Promise.allSettled(writes))
}

/**
 * Overwrites a policy with what {@link writePolicyState} wrote of one of the same shape.
 *
 * @throws ModelFormatError `ERR_MODEL_FORMAT` if a file is broken or of another shape, `ERR_MODEL_NOT_FOUND` if it is missing
 */
export async function readPolicyState(policy: Policy, prefix: string): Promise<void> {
  const native = trainable(policy)
  for (const section of sectionsOf(native)) {
    const sources = (await readSafetensorsHeader(fileOf(prefix, section))).map(stateSource)
    await callNative(() => native.readTensors(section, sources))
  }
}

/**
 * {@link writePolicyState} of a policy whose optimizer is spread over ranks; all of them call it at once. The files are the same.
 *
 * @param prefix null on all ranks but the first, which give what they have
 * @throws MagrpoError `ERR_RUN` where a file cannot be written, `ERR_RANK` if a rank is gone
 */
export async function writeSpreadState(policy: Policy, prefix: string | null, ranks: NativeRanks): Promise<void> {
  const native = trainable(policy)
  const writes = sectionsOf(native).flatMap((section) => {
    const isSpread = section === 'optimizer'
    if (prefix === null && !isSpread) return []
    const file = prefix === null ? '' : fileOf(prefix, section)
    const header = safetensorsHeader(native.tensors(section), {})
    return [callNative(() => native.writeTensors(section, file, header, isSpread ? ranks : undefined))]
  })
  throwFirst(await Promise.allSettled(writes))
}

/**
 * Overwrites a policy whose optimizer is spread over ranks on all of them, with what rank 0 reads.
 *
 * @param prefix null on all ranks but the first
 * @throws as {@link readPolicyState} on rank 0, and `ERR_RANK` on the others
 */
export async function readSpreadState(policy: Policy, prefix: string | null, ranks: NativeRanks): Promise<void> {
  const native = trainable(policy)
  const sourcesOf = async (section: StateSection) =>
    prefix === null ? [] : (await readSafetensorsHeader(fileOf(prefix, section))).map(stateSource)
  // Before the ranks' masters are made of bfloat16 weights.
  if (prefix !== null)
    for (const section of sectionsOf(native).filter((each) => each !== 'optimizer')) {
      const sources = await sourcesOf(section)
      await callNative(() => native.readTensors(section, sources))
    }
  // Moments are not copied as they are spread, so that their kind does not matter.
  await callNative(() => native.copyFromFirst(ranks, 'float32'))
  const sources = await sourcesOf('optimizer')
  await callNative(() => native.readTensors('optimizer', sources, ranks))
}

/** Number of weights of each tensor that training moves, without those of a value head; none of the bare base. */
export function trainedTensors(policy: Policy): number[] {
  return (policy.native?.tensors('weights') ?? []).map(({ shape }) =>
    shape.reduce((product, size) => product * size, 1),
  )
}

function trainable(policy: Policy): NativePolicy {
  if (policy.native !== null) return policy.native
  throw new MagrpoError('ERR_ARGUMENT', 'Expected a trainable policy but received the bare base, which has no state.')
}
