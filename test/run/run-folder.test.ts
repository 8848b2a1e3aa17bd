import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import { JsonLinesWriter } from '../../lib/base/json-lines.ts'
import { RunFolder } from '../../lib/run/run-folder.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

test('a new folder is made with its parents, an empty one is taken', async (t) => {
  const root = await temporaryFolder(t)
  const folder = await RunFolder.create(join(root, 'runs', 'one'))
  await folder.writeConfig({ steps: 3, team: { model: 'm' } })
  t.is(await readFile(folder.file('config.yaml'), 'utf8'), 'steps: 3\nteam:\n  model: m\n')
  await mkdir(join(root, 'empty'))
  await t.notThrowsAsync(RunFolder.create(join(root, 'empty')))
})

test('an existing run is an error that names it and what to do, and is not touched', async (t) => {
  const root = await temporaryFolder(t)
  await writeFile(join(root, 'metrics.jsonl'), 'mine')
  const error = await t.throwsAsync(RunFolder.create(root), { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_RUN_EXISTS')
  t.true(error.message.includes(root))
  t.regex(error.message, /--run-dir/)
  t.is(await readFile(join(root, 'metrics.jsonl'), 'utf8'), 'mine')
  const file = await t.throwsAsync(RunFolder.create(join(root, 'metrics.jsonl')), { instanceOf: MagrpoError })
  t.is(file.code, 'ERR_RUN_EXISTS')
})

test('a folder that cannot be made is ERR_RUN', async (t) => {
  const root = await temporaryFolder(t)
  await writeFile(join(root, 'file'), '')
  const error = await t.throwsAsync(RunFolder.create(join(root, 'file', 'run')), { instanceOf: MagrpoError })
  t.is(error.code, 'ERR_RUN')
})

test('a folder inside is replaced as a whole; a failed write leaves the old one', async (t) => {
  const folder = await RunFolder.create(join(await temporaryFolder(t), 'run'))
  const write = (text: string) => (directory: string) => writeFile(join(directory, 'weights'), text)
  await folder.replaceFolder('best', write('one'))
  await folder.replaceFolder('best', write('two'))
  t.is(await readFile(folder.file('best/weights'), 'utf8'), 'two')
  const failing = async (directory: string) => {
    await write('three')(directory)
    throw new Error('disk full')
  }
  await t.throwsAsync(folder.replaceFolder('best', failing), { message: 'disk full' })
  t.is(await readFile(folder.file('best/weights'), 'utf8'), 'two')
  await folder.replaceFolder('best', write('four'))
  await folder.release()
  t.deepEqual(await readdir(folder.path), ['best'])
})

test('a run that did nothing is taken back, what was there before is not', async (t) => {
  const root = await temporaryFolder(t)
  const made = await RunFolder.create(join(root, 'made'))
  await made.writeConfig({})
  await made.discard()
  await mkdir(join(root, 'mine'))
  const taken = await RunFolder.create(join(root, 'mine'))
  await taken.writeConfig({})
  await taken.discard()
  t.deepEqual(await readdir(root), ['mine'])
  t.deepEqual(await readdir(join(root, 'mine')), [])
})

test('lines are in the file when append resolves', async (t) => {
  const path = join(await temporaryFolder(t), 'lines.jsonl')
  const writer = await JsonLinesWriter.open(path)
  await writer.append({ step: 1 }, { text: 'a\nb' })
  t.is(await readFile(path, 'utf8'), '{"step":1}\n{"text":"a\\nb"}\n')
  await writer.close()
  const again = await JsonLinesWriter.open(path)
  await again.append({ step: 2 })
  await again.close()
  t.is((await readFile(path, 'utf8')).split('\n').length, 4)
})
