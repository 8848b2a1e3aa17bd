#!/usr/bin/env node
/**
 * Counts lines of product code: `node scripts/count-code.mjs [CHECKOUT …]`. That is `lib/`, `native/` and `python/` without blank
 * lines, comments, docstrings, tests, benchmarks and the references that kernels are tested against.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const languages = {
  '.ts': cLike,
  '.js': cLike,
  '.css': cLike,
  '.html': (text) => text.replace(/<!--[\s\S]*?-->/g, ''),
  '.json': (text) => text,
  '.cc': cLike,
  '.cu': cLike,
  '.h': cLike,
  '.py': python,
}

/** Kernels' tests, benchmarks and references, as they are named today and as they were. */
const isTest = (file) =>
  /^native\/(test|bench)\//.test(file) ||
  /^native\/kernels\/\w+\/(test|bench|reference)\.\w+$/.test(file) ||
  /_reference\.(cc|h)$/.test(file)

/** Without `//` and `/* *\/` comments; what looks like one inside a literal stays. */
function cLike(text) {
  const token = /"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\[\s\S]|[^`\\])*`|\/\*[\s\S]*?\*\/|\/\/[^\n]*/g
  return text.replace(token, (found) => (/^\/[/*]/.test(found) ? found.replace(/[^\n]/g, '') : found))
}

/** Without `#` comments and docstrings. */
function python(text) {
  const withoutDocs = text.replace(/^(\s*)("""|''')[\s\S]*?\2\s*$/gm, (found) => found.replace(/[^\n]/g, ''))
  return withoutDocs.replace(/^\s*#.*$/gm, '')
}

/** Lines of code by the top folder. */
export function countCode(root) {
  const counts = {}
  for (const folder of ['lib', 'native', 'python']) {
    counts[folder] = 0
    for (const name of readdirSync(path.join(root, folder), { recursive: true, encoding: 'utf8' })) {
      const file = path.posix.join(folder, name.replaceAll(path.sep, '/'))
      const strip = languages[path.extname(file)]
      if (strip === undefined || isTest(file)) continue
      const code = strip(readFileSync(path.join(root, file), 'utf8'))
      counts[folder] += code.split('\n').filter((line) => line.trim() !== '').length
    }
  }
  return { ...counts, total: Object.values(counts).reduce((sum, count) => sum + count, 0) }
}

for (const root of process.argv.length > 2 ? process.argv.slice(2) : ['.']) {
  if (!existsSync(path.join(root, 'lib'))) throw new Error(`${root} holds no lib/`)
  const { total, ...counts } = countCode(root)
  const parts = Object.entries(counts).map(([folder, count]) => `${folder} ${count}`)
  console.log(`${root}: ${total} lines (${parts.join(', ')})`)
}
