/**
 * `rewards.jsonl`: every verdict of a run, as it comes. A run that is resumed repeats the steps since its last checkpoint, and finds
 * their rewards here instead of asking for them again.
 */
import { cannotWrite } from '../base/cannot-write.ts'
import { JsonLinesWriter } from '../base/json-lines.ts'
import { wholeLines } from '../base/read-lines.ts'
import { checksumOf, type KnownVerdict, type RewardCache, type RewardOutcome } from '../rl/types/run-store.ts'
import type { Joint } from '../tasks/task/completion.ts'

/** One line of the log. */
interface Line extends RewardOutcome {
  /** `train/STEP/SLOT/TURN/NODE/JOINT`; `eval` or `greedy` in evaluations. */
  place: string
  /** Checksum of what was judged: another text in the same place gets a verdict of its own. */
  of: string
}

/** The verdicts of one run. */
export class RewardLog implements RewardCache {
  readonly #known: Map<string, Line>
  readonly #writer: JsonLinesWriter

  private constructor(known: Map<string, Line>, writer: JsonLinesWriter) {
    this.#known = known
    this.#writer = writer
  }

  /**
   * Opens the log of a run that has done `steps` steps: older verdicts stay in the file and out of memory. A line that was not
   * written to its end, or is damaged, is a verdict that was never given.
   *
   * @throws MagrpoError `ERR_RUN` if the file cannot be read or written
   */
  static async open(path: string, steps: number): Promise<RewardLog> {
    const { known, bytes } = await readLog(path, steps)
    return new RewardLog(known, await JsonLinesWriter.open(path, bytes))
  }

  recall(place: string, joint: Joint): RewardOutcome | undefined {
    const line = this.#known.get(place)
    // A process comes to a place once.
    this.#known.delete(place)
    return line === undefined || line.of !== checksumOf(joint) ? undefined : outcomeOf(line)
  }

  known(): KnownVerdict[] {
    return [...this.#known.values()].map((line) => ({ place: line.place, of: line.of, outcome: outcomeOf(line) }))
  }

  async keep(place: string, joint: Joint, outcome: RewardOutcome): Promise<void> {
    await this.#writer.append({ place, of: checksumOf(joint), ...outcome } satisfies Line)
  }

  async close(): Promise<void> {
    await this.#writer.close()
  }
}

function outcomeOf({ reward, parts, reason, retries, metrics }: Line): RewardOutcome {
  return {
    reward,
    parts,
    ...(typeof reason === 'string' && { reason }),
    ...(typeof retries === 'number' && { retries }),
    ...(metrics && { metrics: numbersOf(metrics) }),
  }
}

/** JSON has no number that is not finite: it says null. */
const numbersOf = (metrics: Record<string, number | null>): Record<string, number> =>
  Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name, value ?? Number.NaN]))

async function readLog(path: string, steps: number): Promise<{ known: Map<string, Line>; bytes: number }> {
  const known = new Map<string, Line>()
  let bytes = 0
  try {
    for await (const { text, end } of wholeLines(path)) {
      bytes = end
      const line = parseLine(text)
      if (line && isAhead(line.place, steps)) known.set(line.place, line)
    }
  } catch (cause) {
    throw cannotWrite(path, cause)
  }
  return { known, bytes }
}

function parseLine(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Line | null
    const isLine = typeof line?.place === 'string' && typeof line.of === 'string'
    const isVerdict = line?.reward === null || Number.isFinite(line?.reward)
    return isLine && isVerdict && typeof line.parts === 'object' && line.parts !== null ? line : undefined
  } catch {
    return undefined
  }
}

/** Whether a run with so many steps done can come to a place again: the evaluation after the last step may be still to come. */
function isAhead(place: string, steps: number): boolean {
  const [phase, index] = place.split('/')
  return phase === 'train' ? Number(index) > steps : Number(index) >= steps
}
