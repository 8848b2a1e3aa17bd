/** A terminal for tests: understands what the live block writes, and nothing else. */
export class Screen {
  readonly isTTY = true
  columns: number
  /** Everything that was written. */
  raw = ''
  isCursorHidden = false
  #rows: string[] = ['']
  #row = 0

  constructor(columns: number) {
    this.columns = columns
  }

  /** Lines on the screen, the empty one with the cursor left out. */
  get lines(): string[] {
    return this.#rows.at(-1) === '' ? this.#rows.slice(0, -1) : [...this.#rows]
  }

  write(text: string): boolean {
    this.raw += text
    for (const [part] of text.matchAll(/\p{Control}(?:\[\??\d*[A-Za-z])?|\P{Control}+/gu)) this.#take(part)
    return true
  }

  /** Makes the terminal narrower: rows that no longer fit break. */
  resize(columns: number): void {
    this.columns = columns
    const broken = this.#rows.flatMap((row) => row.match(new RegExp(`.{1,${columns}}`, 'gu')) ?? [''])
    this.#rows = broken
    this.#row = broken.length - 1
  }

  #take(part: string): void {
    if (part === '\n') {
      this.#row++
      if (this.#row === this.#rows.length) this.#rows.push('')
    } else if (part === '\u001B[?25l') this.isCursorHidden = true
    else if (part === '\u001B[?25h') this.isCursorHidden = false
    else if (part.startsWith('\u001B[') && part.endsWith('A')) this.#row -= Number(part.slice(2, -1))
    else if (part === '\u001B[0J') this.#rows = [...this.#rows.slice(0, this.#row), '']
    else if (part !== '\r') {
      if (part.startsWith('\u001B')) throw new Error(`not understood: ${JSON.stringify(part)}`)
      this.#rows[this.#row] += part
    }
    if (this.#row < 0) throw new Error('above the top of the screen')
  }
}
