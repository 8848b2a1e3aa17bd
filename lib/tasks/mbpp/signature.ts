/** Problems of the converted MBPP, whose prompts name a function without its parameters. */
import type { CodeItem } from '../code/item.ts'

/**
 * Gives a problem whose prompt has no parameters (`def function():`) the signature that its tests call: the entry point's name
 * and as many parameters as the calls have arguments. Other problems are given back as they are.
 */
export function withSignature(item: CodeItem): CodeItem {
  if (/def\s+\w+\s*\(\s*[^)\s][^)]*\)/.test(item.prompt)) return item
  const parameters = parametersOfCalls(item.test, item.entry_point)
  if (parameters === null) return item
  const signature = `def ${item.entry_point}(${parameters.join(', ')})`
  const empty = /def\s+\w+\s*\(\s*\)/
  const prompt = empty.test(item.prompt)
    ? item.prompt.replace(empty, () => signature)
    : `${item.prompt.trimEnd()}\n\n${signature}:\n`
  return { ...item, prompt }
}

/** Names for the parameters of the tests' calls, or null where no test calls anything; a call with fewer leaves the rest optional. */
function parametersOfCalls(test: string, entryPoint: string): string[] | null {
  const calls = [...test.matchAll(new RegExp(String.raw`\b(?:candidate|${entryPoint})\(`, 'g'))]
    .filter(({ index }) => !/def\s+$/.test(test.slice(0, index)))
    .map(({ index, 0: start }) => argumentsOf(test, index + start.length))
  if (calls.length === 0) return null
  const positional = calls.map((call) => call.filter((argument) => keywordOf(argument) === null).length)
  const least = Math.min(...positional)
  const most = Math.max(...positional)
  const keywords = new Set(calls.flat().flatMap((argument) => keywordOf(argument) ?? []))
  const names = Array.from({ length: most }, (_, index) => (most === 1 ? 'value' : `arg${index + 1}`))
  return [
    ...names.map((name, index) => (index < least ? name : `${name}=None`)),
    ...[...keywords].map((name) => `${name}=None`),
  ]
}

function keywordOf(argument: string): string | null {
  return /^([A-Za-z_]\w*)\s*=(?!=)/.exec(argument)?.[1] ?? null
}

/** The arguments of a Python call whose opening parenthesis ends at `start`. */
function argumentsOf(text: string, start: number): string[] {
  const found: string[] = []
  let depth = 0
  let quote = ''
  let begin = start
  for (let i = start; i < text.length; i++) {
    const c = text[i]!
    if (quote) {
      if (c === '\\') i++
      else if (c === quote) quote = ''
    } else if (c === '"' || c === "'") quote = c
    else if ('([{'.includes(c)) depth++
    else if (depth > 0 && ')]}'.includes(c)) depth--
    else if (depth === 0 && (c === ',' || c === ')')) {
      found.push(text.slice(begin, i).trim())
      begin = i + 1
      if (c === ')') break
    }
  }
  return found.filter((argument) => argument !== '')
}
