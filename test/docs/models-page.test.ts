import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { filesOf, startHub } from '../support/fake-hub.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { asciiModel } from '../support/tiny-model.ts'

const read = (path: string) => readFileSync(join(repositoryDir, path), 'utf8')
const page = read('docs/models.md')
const blocks = (language: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => code!)

/** Words of a command line; quotes hold words together. */
const words = (line: string) => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)

test.serial('its YAML trains and its commands run, one after the other', async (t) => {
  const model = asciiModel()
  const hub = await startHub(t, { type: 'model', name: 'HuggingFaceTB/SmolLM2-135M-Instruct' }, filesOf(model))
  const cwd = await temporaryFolder(t)
  const run = async (args: string[]) => {
    const { code, stdout, stderr } = await runCli(args, { cwd, env: hub.environment })
    t.is(code, 0, `${args.join(' ')}\n${stderr}`)
    return stdout
  }
  writeFileSync(join(cwd, 'names.yaml'), blocks('yaml')[0]!)
  const short = ['steps=1', 'task.train=4', 'task.heldOut=1', 'sampling.maxNewTokens=8', 'algorithm.groupSize=2']
  await run(['train', 'names.yaml', ...short.flatMap((setting) => ['--set', setting])])
  const lines = blocks('sh').flatMap((block) => block.trim().split('\n'))
  t.true(lines.length >= 10)
  for (const line of lines) {
    const [npx, magrpo, ...args] = words(line)
    t.deepEqual([npx, magrpo], ['npx', 'magrpo'], line)
    t.not(await run(args), '', line)
  }
})

test('every reason and code is there, with the code it comes with', (t) => {
  const type = /export type HubFailure =\n([\s\S]*?)\n\n/.exec(read('lib/hub/access.ts'))![1]!
  const reasons = [...type.matchAll(/'(\w+)'/g)].map(([, reason]) => reason!)
  t.true(reasons.length >= 9)
  for (const reason of reasons) t.regex(page, new RegExp(`^\\| \`ERR_\\w+\` \\| \`${reason}\` \\|`, 'm'))
  for (const name of page.matchAll(/`(H[FU]\w+|XDG_\w+)`/g))
    t.true(read('lib/hub/access.ts').includes(name[1]!), name[1])
})
