/** Options of whatever may download. */
import { abortSignal, callback, text } from '../base/fields.ts'
import { type FieldsOf, section } from '../base/validate.ts'
import type { DownloadEvent } from '../hub/download.ts'

/** Options of whatever may download. */
export interface DownloadOptions {
  /** Branch, tag or commit. Defaults to that of the name (`org/name@revision`), else to `main`. */
  revision?: string
  signal?: AbortSignal
  /** Told before anything is asked or fetched, and of how far it is. */
  onDownload?(event: DownloadEvent): void
}

/** Fields of {@link DownloadOptions}. */
export const downloadShape = {
  revision: text().optional(),
  signal: abortSignal(),
  onDownload: callback<(event: DownloadEvent) => void>(),
} satisfies FieldsOf<DownloadOptions>

/** See {@link DownloadOptions}. */
export const downloadSection = section(downloadShape)
