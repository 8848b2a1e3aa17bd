/**
 * Every error this package throws on purpose, and every code it can carry. The C++ core throws the same codes
 * (`native/core/errors.h`). Programmer errors (`TypeError`, `RangeError`) and an aborted signal's reason are never wrapped.
 */

/** Codes of {@link MagrpoError}, one per cause; each is a stable string that programs may branch on. */
export const errorCodes = [
  'ERR_ADDON_NOT_BUILT', // the native part is missing: run `npx magrpo setup`
  'ERR_ADDON_LOAD', // the native part is there but did not load
  'ERR_SETUP', // a set-up step failed: a missing compiler, cmake, pip, libtorch out of range
  'ERR_CONFIG', // a configuration or option is not valid; `details.issues` lists them
  'ERR_ARGUMENT', // a value given to a call is out of its range
  'ERR_DEVICE', // the device asked for cannot be had; `details.reason` says why
  'ERR_OUT_OF_MEMORY',
  'ERR_MODEL_NOT_FOUND', // no such folder or file
  'ERR_DOWNLOAD', // a model of the hub cannot be downloaded; `details.reason` says why
  'ERR_MODEL_FORMAT', // config.json or safetensors are broken; `details.file`, `details.tensor`
  'ERR_MODEL_UNSUPPORTED', // an architecture or a setting that magrpo does not implement
  'ERR_MODEL_WEIGHTS', // weights hold NaN or infinity
  'ERR_ADAPTER', // an adapter's settings are not supported or do not fit the model
  'ERR_TOKENIZER_MISSING', // text was given, but the model folder has no tokenizer.json
  'ERR_CHAT_TEMPLATE', // the chat template is missing or failed
  'ERR_TOKEN_RANGE', // a token id outside the vocabulary
  'ERR_EMPTY_PROMPT',
  'ERR_PROMPT_TOO_LONG', // prompt and completion do not fit the model's context
  'ERR_DISPOSED', // a handle was used after dispose()
  'ERR_DATA', // a data file is broken; `details.file`, `details.line`, `details.field`
  'ERR_TASK', // a task's functions disagree with the team, or return what they may not
  'ERR_REWARD', // a reward threw, returned NaN, or did not settle in time
  'ERR_SANDBOX_UNAVAILABLE', // bubblewrap or Python is missing, or namespaces are forbidden
  'ERR_SANDBOX', // the sandbox itself failed (never: the program under test failed)
  'ERR_RUN_EXISTS', // the run folder is there already
  'ERR_OUTPUT', // standard output cannot be written, for example on a full disk
  'ERR_PORT', // the port of the live page is taken or not allowed
  'ERR_RUN', // a run folder cannot be read or written
  'ERR_RUN_LOCKED', // another process works on the run folder; `details` has its `pid`, `host` and `since`
  'ERR_RUN_VERSION', // the run folder is of a newer version of magrpo
  'ERR_RANK', // another process of a run is gone, never came, or does something else; `details.rank`
  'ERR_CHECKPOINT', // no checkpoint of a run can be used, or it does not fit what it is to be resumed with
  'ERR_NON_FINITE', // logits became NaN or infinite: the weights diverged
  'ERR_NATIVE', // anything else libtorch reports; `details.trace` has its backtrace
] as const

/** One of {@link errorCodes}. */
export type ErrorCode = (typeof errorCodes)[number]

/** Facts about the error for programs: file, line, field, reason and the like. */
export type ErrorDetails = Record<string, unknown>

/**
 * Base class of all errors this package throws on purpose.
 *
 * `message` says what was expected, what came, where, and what to do; its first line is complete by itself.
 */
export class MagrpoError extends Error {
  override name = 'MagrpoError'
  /** Stable code, one of {@link errorCodes}. */
  readonly code: ErrorCode
  /** Facts for programs; empty if there are none. */
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, options: { details?: ErrorDetails; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = options.details ?? {}
  }
}

/** One thing wrong with a configuration: where (`algorithm.groupSize`) and what. */
export interface ConfigIssue {
  path: string
  message: string
}

/** A configuration or the options of a call are not valid; `issues` lists everything that is wrong, not only the first. */
export class ConfigError extends MagrpoError {
  override name = 'ConfigError'
  readonly issues: ConfigIssue[]

  constructor(issues: ConfigIssue[], where: string) {
    super(
      'ERR_CONFIG',
      `${where} is not valid:\n${issues.map((issue) => `  ${issue.path || '(top level)'}: ${issue.message}`).join('\n')}`,
      { details: { issues } },
    )
    this.issues = issues
  }
}

/** The native part cannot be loaded; the message lists what was tried and the remedy that fits this machine. */
export class NativeLoadError extends MagrpoError {
  override name = 'NativeLoadError'
}

/** The device asked for cannot be had; `details.reason` is `cpu_build`, `no_driver`, `no_device` or `driver_too_old`. */
export class DeviceError extends MagrpoError {
  override name = 'DeviceError'
}

/** Memory ran out on the device. */
export class OutOfMemoryError extends MagrpoError {
  override name = 'OutOfMemoryError'
}

/** A model folder, a safetensors file or an adapter is broken or asks for something that is not supported. */
export class ModelFormatError extends MagrpoError {
  override name = 'ModelFormatError'
}

/** A handle was used after it was disposed. */
export class DisposedError extends MagrpoError {
  override name = 'DisposedError'

  constructor(what: string) {
    super('ERR_DISPOSED', `${what} was used after it was disposed.`)
  }
}

/** The Python sandbox is missing or failed by itself; a failing program is a result, not an error. */
export class SandboxError extends MagrpoError {
  override name = 'SandboxError'
}
