/**
 * The golden values on a CUDA device, with all that is off by default switched on: on a GPU where a CUDA build finds one, else on the
 * software device.
 */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { addonPath, loadAddon } from '../../lib/native/load-addon.ts'
import { skipBecause } from '../support/skip.ts'

const hasSoftwareDevice = existsSync(join(dirname(addonPath()), 'magrpo_software_cuda.so'))
// Before the addon is loaded: ava runs each file in a process of its own.
if (hasSoftwareDevice) process.env.MAGRPO_DEVICE = 'software'

if (loadAddon().info().cuda.available) {
  const switches = { MAGRPO_CUDA_STREAMS: '1', MAGRPO_CUDA_PINNED: '1', MAGRPO_CUDA_GRAPHS: '1' }
  Object.assign(process.env, switches, { MAGRPO_TEST_DEVICE: 'cuda:0' })
  await import('./golden.test.ts')
} else
  test('golden values on a CUDA device', (t) => skipBecause(t, `no CUDA device: ${loadAddon().info().cuda.reason}`))
