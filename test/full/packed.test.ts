/** The package as users get it: packed, installed into an empty folder, set up there, and used from every kind of project. */
import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { repositoryDir } from '../support/fixtures.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'

const consumers = join(repositoryDir, 'test/consumers')

interface Packed {
  filename: string
  files: { path: string }[]
}

/** With `prepack`, whose output is kept out of npm's. */
function pack(folder: string): Packed {
  const args = ['pack', '--json', '--foreground-scripts=false', '--pack-destination', folder]
  return (JSON.parse(execFileSync('npm', args, { cwd: repositoryDir, encoding: 'utf8' })) as [Packed])[0]
}

test('nothing is packed that a user does not need, and all that one needs', async (t) => {
  for (const made of ['schemas', 'docs/reference/config.md'])
    rmSync(join(repositoryDir, made), { recursive: true, force: true })
  const { files } = pack(await temporaryFolder(t))
  const paths = files.map(({ path }) => path)
  const allowed =
    /^(bin\/magrpo\.mjs|dist\/.*(\.js(\.map)?|\.d\.ts|\.css|\.html|\.svg)|native\/(binding|check|core|distributed|kernels|model|rollout|software_cuda|train)\/\w+\.(h|cc|cu)|native\/distributed\/gloo_declarations\/gloo\/(\w+\/)?\w+\.h|native\/model\/arch\/\w+\.(json|cmake)|native\/kernels\/\w+\/(?!(reference|test|bench)\.)\w+\.(h|cc|cu)|scripts\/(setup|libtorch)\.mjs|scripts\/setup\/[\w-]+\.mjs|scripts\/fixtures\/(stories260k\.mjs|smollm2\.py)|models\/[\w-]+\/\w+\.(json|safetensors)|python\/(\w+\/)?\w+\.py|schemas\/\w+\.json|examples\/([\w-]+\/)?[\w-]+\.(ts|yaml|jsonl|py)|docs\/([\w-]+\/)?[\w-]+\.(md|json|png|svg)|CMakeLists\.txt|package\.json|[A-Z]+\.md|CITATION\.cff|LICENSE)$/
  t.deepEqual(
    paths.filter((path) => !allowed.test(path)),
    [],
  )
  for (const path of [
    'LICENSE',
    'dist/index.js',
    'dist/index.d.ts',
    'models/mini-code/model.safetensors',
    'schemas/run.json',
    'schemas/compare.json',
    'docs/reference/config.md',
  ])
    t.true(paths.includes(path), path)
})

test('installed into an empty folder it is set up, trains, and type-checks', async (t) => {
  t.timeout(20 * 60_000)
  const folder = await temporaryFolder(t)
  const { filename } = pack(folder)
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  for (const name of readdirSync(consumers)) copyFileSync(join(consumers, name), join(folder, name))
  const run = async (command: string, ...args: string[]) => {
    const { stdout, stderr } = await promisify(execFile)(command, args, { cwd: folder, maxBuffer: 1e8 })
    return { stdout, stderr }
  }
  await run('npm', 'install', '--no-audit', '--no-fund', '--loglevel=error', join(folder, filename))
  const before = await promisify(execFile)(process.execPath, ['esm.mjs'], { cwd: folder }).catch((error) => error)
  t.regex(String(before.stderr), /ERR_ADDON_NOT_BUILT/)
  await run('npx', 'magrpo', 'setup')
  t.true(existsSync(join(folder, 'node_modules/magrpo/build/Release/magrpo.node')))
  t.truthy(JSON.parse((await run('npx', 'magrpo', 'doctor', '--json')).stdout))

  const expected = { stdout: '1 true\ntrue ERR_MODEL_NOT_FOUND\n', stderr: '' }
  t.deepEqual(await run(process.execPath, 'esm.mjs'), expected)
  t.deepEqual(await run(process.execPath, 'commonjs.cjs'), expected)

  const options = {
    module: 'nodenext',
    target: 'es2022',
    lib: ['es2022', 'esnext.disposable'],
    strict: true,
    skipLibCheck: false,
  }
  const types = { typeRoots: [join(repositoryDir, 'node_modules/@types')], types: ['node'], outDir: 'out' }
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...options, ...types }, files: ['types.mts', 'types.cts'] }),
  )
  const compiler = join(repositoryDir, 'node_modules/.bin/tsc')
  const checked = await run(compiler, '-p', '.').catch((error: { stdout: string }) => error)
  t.is(checked.stdout, '')
  t.deepEqual(await run(process.execPath, 'out/types.mjs'), { stdout: '1 true\n', stderr: '' })
  t.deepEqual(await run(process.execPath, 'out/types.cjs'), { stdout: 'true\n', stderr: '' })
})
