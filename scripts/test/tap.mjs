/**
 * Counts the results in ava's TAP output, line by line, and shows them to people. A test that finds out while it runs that it cannot
 * run here passes and logs `skipped: WHY` (`test/support/skip.ts`), and is counted as skipped.
 */

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped skipped tests and those still to be written
 */

/** @returns {string[]} the lines a run of tests ends with: the last is `N passed, N failed`, before it how many were skipped, if any */
export function summaryLines({ passed, failed, skipped }) {
  return [...(skipped > 0 ? [`${skipped} skipped, for the reasons above`] : []), `${passed} passed, ${failed} failed`]
}

/** @returns {Pick<Counts, 'passed' | 'failed'> | null} what the last of {@link summaryLines} says, null for any other line */
export function parseSummary(line) {
  const match = /^(\d+) passed, (\d+) failed$/.exec(line.trim())
  return match && { passed: Number(match[1]), failed: Number(match[2]) }
}

/**
 * @param {(line: string) => void} print gets a line a test, and the whole diagnosis of a failed one
 * @returns {{ counts: Counts, feed: (line: string) => void, isWhole: () => boolean }} `counts` is
 *   up to date, and `isWhole` true, when the plan, which follows the last test, has been fed
 */
export function tapReader(print) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  let inSummary = false
  // A test that passed, and what it logs, until another line shows that this is all.
  let last = null
  const settle = () => {
    if (last === null) return
    const { title, logs } = last
    const isSkipped = logs.some((line) => /^# +skipped: /.test(line))
    if (isSkipped) {
      counts.passed -= 1
      counts.skipped += 1
    }
    print(`${isSkipped ? ' skip ' : '  ok  '} ${title}`)
    for (const line of logs) print(`    ${line}`)
    last = null
  }
  const feed = (line) => {
    if (last !== null && /^#( |$)/.test(line)) return void last.logs.push(line)
    settle()
    const match = /^(ok|not ok) \d+ - (.*?)(?: # (SKIP|TODO).*)?$/.exec(line)
    if (match === null) {
      // The plan and the totals that follow it are replaced by our own last line.
      inSummary ||= /^1\.\.\d+$/.test(line)
      if (!inSummary && line !== '' && !line.startsWith('TAP version')) print(`    ${line}`)
      return
    }
    const [, status, title, directive] = match
    const kind = directive !== undefined ? 'skipped' : status === 'ok' ? 'passed' : 'failed'
    counts[kind] += 1
    if (kind === 'passed') last = { title, logs: [] }
    else print(`${{ failed: 'FAILED', skipped: ' skip ' }[kind]} ${title}`)
  }
  // Without the plan the reporter ended before the tests did.
  return { counts, feed, isWhole: () => inSummary }
}
