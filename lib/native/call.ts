/** One way to call the addon: abort signals become cancel flags, native failures become this package's errors. */
import {
  DeviceError,
  type ErrorCode,
  errorCodes,
  MagrpoError,
  ModelFormatError,
  OutOfMemoryError,
} from '../base/errors.ts'
import type { NativeJobOptions } from './addon-types.ts'
import { loadAddon } from './load-addon.ts'

/**
 * Runs one native call.
 *
 * @param start makes the call with the job options it is given
 * @throws the signal's reason if it was aborted before or while the call ran; else {@link MagrpoError}, its stack that of
 *   the JavaScript call
 */
export async function callNative<T>(start: (job: NativeJobOptions) => Promise<T>, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted()
  const trace = new Error('native call')
  const cancel = signal === undefined ? undefined : new (loadAddon().CancelFlag)()
  const onAbort = () => cancel?.cancel()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    return await start({ cancel })
  } catch (error) {
    signal?.throwIfAborted()
    throw toMagrpoError(error, trace)
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

/** A native failure as an error of this package; anything else as it is. */
export function toMagrpoError(error: unknown, trace?: Error): unknown {
  if (!(error instanceof Error) || error instanceof MagrpoError) return error
  const { code, trace: nativeTrace } = error as Error & { code?: string; trace?: string }
  if (!errorCodes.includes(code as ErrorCode)) return error
  const made = new (classOf(code as ErrorCode))(code as ErrorCode, error.message, {
    details: nativeTrace === undefined ? {} : { trace: nativeTrace },
  })
  if (trace?.stack !== undefined) made.stack = trace.stack.replace(/^[^\n]*/, `${made.name}: ${made.message}`)
  return made
}

function classOf(code: ErrorCode): typeof MagrpoError {
  if (code === 'ERR_DEVICE') return DeviceError
  if (code === 'ERR_OUT_OF_MEMORY') return OutOfMemoryError
  return code.startsWith('ERR_MODEL') ? ModelFormatError : MagrpoError
}
