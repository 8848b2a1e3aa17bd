/** Docstrings of the fields of zod sections, read from the sources: in a section the docstring of a field says what the key means. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const lib = fileURLToPath(new URL('../../lib', import.meta.url))

/** A constant `NAME = {` or `NAME = section({`, down to the line that closes it. */
const shape = /^(?:export )?const (\w+) = (?:section\()?\{\n(.*?)^\}/gms

/** A docstring and the key after it, at the first level of a shape. */
const documented = /^ {2}\/\*\*((?:(?!\*\/).)*)\*\/\n *(?:\.\.\.\w+\(\{ )?(\w+)/gms

/** The docstrings of the fields of one section. */
export interface SectionDocs {
  /** Path of its file, from `lib/` on. */
  file: string
  /** Name of its constant. */
  name: string
  fields: Map<string, string>
}

/** What the fields of all sections of `lib/` mean. */
export function readDocstrings(): SectionDocs[] {
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  return files.sort().flatMap((file) =>
    [...readFileSync(join(lib, file), 'utf8').matchAll(shape)].map(([, name, body]) => ({
      file,
      name: name!,
      fields: new Map([...body!.matchAll(documented)].map(([, text, key]) => [key!, oneLine(text!)])),
    })),
  )
}

/** A docstring without its margin. */
function oneLine(text: string): string {
  return text
    .replace(/^\s*\*/gm, '')
    .replace(/\{@link (\w+)\}/g, '`$1`')
    .replace(/\s+/g, ' ')
    .trim()
}
