import { fileURLToPath } from 'node:url'

/** The package's own folder, of a clone or an installation: two folders above this file, in `lib/` and in `dist/` alike. */
export const packageDir = fileURLToPath(new URL('../..', import.meta.url))
