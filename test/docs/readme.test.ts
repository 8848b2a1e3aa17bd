/** The README: its TypeScript runs, and its commands print what it says. */

import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { runCli } from '../support/cli.ts'
import { repositoryDir } from '../support/fixtures.ts'
import { asciiModel } from '../support/tiny-model.ts'

const text = readFileSync(join(repositoryDir, 'README.md'), 'utf8')
const blocks = (language: string) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, code]) => code!)

test('the team in 15 lines trains on a real model', async (t) => {
  const model = asciiModel()
  const [code] = blocks('ts')
  t.true(code!.trim().split('\n').length <= 19)
  const folder = mkdtempSync(join(repositoryDir, 'build', 'readme-'))
  try {
    const short = code!
      .replace("'magrpo'", JSON.stringify(join(repositoryDir, 'lib/index.ts')))
      .replace("'path/to/a/model'", JSON.stringify(model))
      .replace('steps: 20', 'steps: 2, sampling: { maxNewTokens: 12 }')
    t.not(short, code)
    writeFileSync(join(folder, 'team.mts'), short)
    const tsx = import.meta.resolve('tsx')
    const { stdout } = await promisify(execFile)(process.execPath, [`--import=${tsx}`, 'team.mts'], { cwd: folder })
    t.regex(stdout, /^1 -?[\d.]+(e-\d+)?\n2 -?[\d.]+(e-\d+)?\n$/)
    t.deepEqual(readdirSync(join(folder, 'trained')).sort(), ['brief', 'wordy'])
    t.true(existsSync(join(folder, 'trained/brief/adapter_model.safetensors')))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('the scoring commands it shows run', async (t) => {
  const commands = blocks('sh').flatMap((block) => block.replaceAll('|\n ', '|').trim().split('\n'))
  const model = asciiModel()
  for (const line of commands.filter((command) => command.startsWith('echo'))) {
    const [, input, command] = /^echo '(.*)' \|\s+npx magrpo (.*)$/.exec(line)!
    const result = await runCli(command!.replace('MODEL', model).split(' '), { input: `${input}\n` })
    t.is(result.code, 0, result.stderr)
    t.is(result.json().length, 1)
    const [said] = result.json() as { total?: number }[]
    if (said!.total === undefined) continue
    t.true(said!.total > 2, 'the example of a reward scores')
    t.true(text.includes(`\n# ${result.stdout.trim()}\n`), 'its output is what the README shows')
  }
})
