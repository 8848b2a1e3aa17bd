import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { importModule } from '../../lib/base/import-module.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const failure = (message: string) => new Error(message)

test('the default export is the same in a module and in a package of CommonJS', async (t) => {
  const folder = await temporaryFolder(t)
  const files = {
    'own.mjs': 'export default { name: "x" }',
    'own.ts': 'export default { name: "x" as string }',
    'own.cjs': 'module.exports = { name: "x" }',
    'compiled.cjs':
      'Object.defineProperty(exports, "__esModule", { value: true }); exports.default = { name: "x" }; exports.other = 1',
  }
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text)
    const { default: own } = await importModule(join(folder, name), failure)
    t.deepEqual(own, { name: 'x' }, name)
  }
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  await writeFile(join(folder, 'again.ts'), files['own.ts'])
  t.deepEqual((await importModule(join(folder, 'again.ts'), failure)).default, { name: 'x' })
})

test('what is wrong with a module is said once', async (t) => {
  const folder = await temporaryFolder(t)
  const module = join(folder, 'own.mjs')
  await t.throwsAsync(importModule(module, failure), { message: 'the file cannot be read' })
  await writeFile(module, 'throw new Error("Expected a full stop.")')
  await t.throwsAsync(importModule(module, failure), { message: 'it cannot be loaded: Expected a full stop' })
})
