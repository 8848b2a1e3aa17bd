/** Opens golden and fixture folders as a user does, and hands out what the tests of the core need of them. */
import type { ExecutionContext } from 'ava'
import { type LoadOptions, Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import type { NativePolicy } from '../../lib/native/addon-types.ts'
import { loadAddon } from '../../lib/native/load-addon.ts'

/**
 * A model folder on the CPU, or the device that `MAGRPO_TEST_DEVICE` names, freed with its policies when the test ends; two threads would gain nothing on models of this size.
 *
 * @param options those of `Model.load`; the dtype defaults to `float32`
 */
export async function openModel(t: ExecutionContext, folder: string, options: LoadOptions = {}): Promise<Model> {
  loadAddon().setThreads(1)
  const device = (process.env.MAGRPO_TEST_DEVICE ?? 'cpu') as LoadOptions['device']
  const model = await Model.load(folder, { device, dtype: 'float32', ...options })
  t.teardown(() => model.dispose())
  return model
}

/** The native handle of an adapter folder in PEFT's layout, over `model`. */
export async function openAdapter(model: Model, folder: string): Promise<NativePolicy> {
  return nativeOf(await Policy.fromAdapter(model, folder))
}

/** The native handle of a policy that is not the bare base. */
export function nativeOf(policy: Policy): NativePolicy {
  if (policy.native === null) throw new Error('Expected a trainable policy')
  return policy.native
}
