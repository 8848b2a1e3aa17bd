/** Docstrings of the fields of zod sections, read from the sources: in a section the docstring of a field says what the key means. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const lib = fileURLToPath(new URL('../../lib', import.meta.url))

/** A constant `NAME = {` or `NAME = section({`, down to the line that closes it. */
const shape = /^(?:export )?const (\w+) = (?:section\()?\{\n(.*?)^\}/gms

/** A docstring and the key after it, at the first level of a shape or at the top of a file. */
const documented = /^(?: {2})?\/\*\*((?:(?!\*\/).)*)\*\/\n *(?:\.\.\.\w+\(\{ )?(?:export const )?(\w+)/gms

/** What the fields of all sections of `lib/` mean, by the name of the section's constant. */
export function readDocstrings(): Map<string, Map<string, string>> {
  const files = readdirSync(lib, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
  const shapes = files.sort().flatMap((name) => [...readFileSync(join(lib, name), 'utf8').matchAll(shape)])
  return new Map(
    shapes.map(([, name, body]) => [
      name!,
      new Map([...body!.matchAll(documented)].map(([, text, key]) => [key!, oneLine(text!)])),
    ]),
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
