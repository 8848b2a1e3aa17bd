/** Docstrings of the members of public interfaces, as TypeDoc reads them. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

interface Part {
  kind: string
  text: string
}
interface Reflection {
  name: string
  children?: Reflection[]
  comment?: { summary: Part[] }
}

/** Looks up what a member means. */
export class Docstrings {
  readonly #types: ReadonlyMap<string, Reflection>

  /** @param project TypeDoc's JSON output */
  constructor(project: Reflection) {
    this.#types = new Map((project.children ?? []).map((type) => [type.name, type]))
  }

  /** The docstring of a member of the first of these interfaces that has it, on one line; undefined without one. */
  of(interfaces: readonly string[], member: string): string | undefined {
    for (const name of interfaces) {
      const type = this.#types.get(name)
      if (type === undefined) throw new Error(`there is no public type ${name}`)
      const summary = type.children?.find((child) => child.name === member)?.comment?.summary
      if (summary !== undefined) return oneLine(summary)
    }
    return undefined
  }
}

function oneLine(summary: readonly Part[]): string {
  const text = summary.map(({ kind, text }) => (kind === 'inline-tag' ? `\`${text}\`` : text)).join('')
  return text.replace(/\s+/g, ' ').trim()
}

/** Runs TypeDoc for `work` with a folder of its output, `api.md` and `api.json`, which is removed afterwards. */
export async function withTypeDoc<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const { readDocstrings } = await import(new URL('tools.mjs', import.meta.url).href)
  const folder = await mkdtemp(join(tmpdir(), 'magrpo-docs-'))
  try {
    await readDocstrings(folder)
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true })
  }
}

/** The docstrings of all public names. */
export function readAllDocstrings(): Promise<Docstrings> {
  return withTypeDoc(async (folder) => new Docstrings(JSON.parse(await readFile(join(folder, 'api.json'), 'utf8'))))
}
