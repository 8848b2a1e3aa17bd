import type { OutputStream } from './style.ts'
import { displayWidth, truncate } from './width.ts'

const hideCursor = '\u001B[?25l'
/** Gives back the cursor that a {@link LiveBlock} hides while it is drawn. */
export const showCursor = '\u001B[?25h'
const eraseBelow = '\u001B[0J'

/**
 * A block of lines at the bottom of a terminal that is drawn again in place. Text that is to stay is printed above it.
 * For terminals only; the caller decides that.
 */
export class LiveBlock {
  readonly #stream: OutputStream
  #drawn: string[] = []
  #open = false

  constructor(stream: OutputStream) {
    this.#stream = stream
  }

  /** Columns a line may take; one less than the terminal has, so that no line wraps. */
  get columns(): number {
    return Math.max(20, this.#width - 1)
  }

  /** Draws the block in place of what it showed before. */
  draw(lines: readonly string[]): void {
    const next = lines.map((line) => truncate(line, this.columns))
    this.#write(this.#rewind() + next.map((line) => `${line}\n`).join(''))
    this.#drawn = next
  }

  /** Prints lines that stay, above the block. */
  print(lines: readonly string[]): void {
    const block = this.#drawn.map((line) => `${line}\n`).join('')
    this.#write(`${this.#rewind()}${lines.map((line) => `${line}\n`).join('')}${block}`)
  }

  /** Removes the block from the screen; it can be drawn again. */
  clear(): void {
    if (this.#drawn.length > 0) this.#stream.write(this.#rewind())
    this.#drawn = []
  }

  /** Leaves the block as it stands and gives the cursor back. Does nothing if it is closed already. */
  close(): void {
    if (this.#open) this.#stream.write(showCursor)
    this.#open = false
    this.#drawn = []
  }

  /** Columns of the terminal; one that was never told its size says 0. */
  get #width(): number {
    return this.#stream.columns || 80
  }

  #rewind(): string {
    if (this.#drawn.length === 0) return ''
    // A terminal made narrower since then has broken the lines that no longer fit.
    const rows = this.#drawn.reduce((sum, line) => sum + Math.max(1, Math.ceil(displayWidth(line) / this.#width)), 0)
    return `\r\u001B[${rows}A${eraseBelow}`
  }

  #write(text: string): void {
    this.#stream.write(this.#open ? text : hideCursor + text)
    this.#open = true
  }
}
