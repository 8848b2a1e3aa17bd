import { formatBytes } from '../base/format.ts'
import type { DownloadEvent } from '../hub/download.ts'

/** Who hears of a download. */
type Listener = (line: string) => void

/**
 * Turns what is told of downloads into lines for people.
 *
 * @param say takes what everybody should know: that something is about to be downloaded, what, and where to
 * @param sayProgress takes a line each tenth of the way; nobody by default
 */
export function downloadLines(say: Listener, sayProgress?: Listener): (event: DownloadEvent) => void {
  let shown = 0
  return (event) => {
    const { kind, repository } = event
    if (kind === 'lookup') say(`asking ${event.hub} for ${repository} (${event.revision})`)
    if (kind === 'waiting') say(`process ${event.pid} downloads ${repository} already: waiting for it`)
    if (kind === 'start') {
      shown = 0
      const files = event.files.length === 1 ? event.files[0] : `${event.files.length} files`
      say(`downloading ${repository}: ${files}, ${formatBytes(event.bytes)}, to ${event.folder}`)
    }
    if (kind !== 'progress') return
    const { bytes, totalBytes } = event
    const tenth = totalBytes === 0 ? 10 : Math.floor((10 * bytes) / totalBytes)
    if (tenth > shown) sayProgress?.(`${repository}: ${formatBytes(bytes)} of ${formatBytes(totalBytes)}`)
    shown = Math.max(shown, tenth)
  }
}
