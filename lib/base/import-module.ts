import { access } from 'node:fs/promises'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'

/** Makes the error to throw of what is wrong with a module. */
type ModuleFailure = (message: string, cause?: unknown) => Error

/**
 * Loads a user's module: JavaScript, or TypeScript where Node reads it or tsx is installed.
 *
 * @param module path, relative to the working directory
 * @throws what `failure` makes, if the file cannot be read or its code fails
 */
export async function importModule(module: string, failure: ModuleFailure): Promise<Record<string, unknown>> {
  const path = resolve(module)
  await access(path).catch((cause: unknown) => {
    throw failure('the file cannot be read', cause)
  })
  const url = pathToFileURL(path).href
  try {
    return exportsOf(await import(url))
  } catch (cause) {
    const isTypeScript = ['.ts', '.mts', '.cts'].includes(extname(path))
    const code = (cause as NodeJS.ErrnoException).code
    if (isTypeScript && code === 'ERR_UNKNOWN_FILE_EXTENSION') return importThroughTsx(url, failure)
    throw failure(loadFailure(cause), cause)
  }
}

/**
 * What a user's module exports, as `default` or under `name`: the thing itself, or a function of the options that gives it (a promise
 * of it too).
 *
 * @throws what `failure` makes, if there is no such export
 */
export async function importExport(
  { module, options = {} }: { module: string; options?: unknown },
  name: string,
  failure: ModuleFailure,
): Promise<object> {
  const exported = await importModule(module, failure)
  const found = exported.default ?? exported[name]
  const made: unknown = typeof found === 'function' ? await found(options) : found
  if (typeof made === 'object' && made !== null) return made
  throw failure(`expected a ${name}, or a function that makes one, as its default export or as "${name}"`)
}

/** Node before 22.18 reads no TypeScript; tsx does, where it is installed. */
async function importThroughTsx(url: string, failure: ModuleFailure): Promise<Record<string, unknown>> {
  const tsx = (await import('tsx/esm/api' as string).catch((cause: unknown) => {
    const remedy = 'this version of Node reads no TypeScript; install tsx (npm install tsx), or give JavaScript'
    throw failure(remedy, cause)
  })) as { tsImport(url: string, parent: string): Promise<Record<string, unknown>> }
  try {
    return exportsOf(await tsx.tsImport(url, import.meta.url))
  } catch (cause) {
    throw failure(loadFailure(cause), cause)
  }
}

/** Where the package of a file is CommonJS, its `export default` arrives as the property `default` of the default export. */
function exportsOf(namespace: Record<string, unknown>): Record<string, unknown> {
  const inner = namespace.default
  const isCompiled = typeof inner === 'object' && inner !== null && '__esModule' in inner
  return isCompiled ? (inner as Record<string, unknown>) : namespace
}

const loadFailure = (cause: unknown) => `it cannot be loaded: ${(cause as Error).message.replace(/\.$/, '')}`
