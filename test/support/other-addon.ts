/**
 * Import it before anything loads the addon, in each thread: the one that `MAGRPO_TEST_ADDON` names takes the place of the usual one.
 * Programs that are started from then on get none of the libraries that were preloaded into this process.
 */
import { addonPath } from '../../lib/native/load-addon.ts'

const other = process.env.MAGRPO_TEST_ADDON
delete process.env.LD_PRELOAD

const { dlopen } = process
process.dlopen = (module: object, file: string, ...flags: [number?]) =>
  dlopen.call(process, module, (file === addonPath() ? other : undefined) ?? file, ...(flags as [number]))
