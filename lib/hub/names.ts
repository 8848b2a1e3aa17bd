/**
 * Splits a name of the hub, `org/name` or `org/name@revision`.
 *
 * @returns null for a text that is none, such as a path
 */
export function parseHubName(text: string): { name: string; revision?: string } | null {
  const word = '[A-Za-z0-9_](?:[\\w.-]*[A-Za-z0-9_])?'
  const match = new RegExp(`^(${word}/${word})(?:@(\\w[\\w.+/-]*))?$`).exec(text)
  if (match === null || /--|\.\./.test(match[1]!) || /\.\.|\/\/|\/$/.test(match[2] ?? '')) return null
  return { name: match[1]!, revision: match[2] }
}
