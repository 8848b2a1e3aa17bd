#!/usr/bin/env node
/**
 * `npm run tidy`: runs clang-tidy with the checks of `.clang-tidy` over the C++ core, with the compiler flags of the last build.
 * Arguments are files to check instead of all.
 */
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { packageRoot as root, which } from './setup/common.mjs'

const skipped = ['test', 'bench'].map((name) => path.join(root, 'native', name) + path.sep)

/** Folders in which CMake has written its compile commands: the normal build first. */
function databases() {
  const build = path.join(root, 'build')
  const below = existsSync(build)
    ? readdirSync(build, { withFileTypes: true }).filter((entry) => entry.isDirectory())
    : []
  return [build, ...below.map(({ name }) => path.join(build, name))].filter((folder) =>
    existsSync(path.join(folder, 'compile_commands.json')),
  )
}

function check(tidy, database, file) {
  return new Promise((resolve) => {
    const child = spawn(tidy, ['-p', database, '--quiet', file], { stdio: ['ignore', 'pipe', 'ignore'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    child.on('error', (error) => resolve({ ok: false, output: `${error.message}\n` }))
    child.on('close', (code) => resolve({ ok: code === 0 && output.trim() === '', output }))
  })
}

async function main(chosen) {
  const tidy = which(process.env.CLANG_TIDY ?? 'clang-tidy')
  if (tidy === null) {
    console.error(
      'clang-tidy is not installed. Install it (Debian, Ubuntu: sudo apt-get install clang-tidy; elsewhere:',
    )
    console.error('pip install clang-tidy), or set CLANG_TIDY to its path.')
    return 1
  }
  const [database] = databases()
  if (database === undefined) {
    console.error('There is no build to take compiler flags from. Run: npm run build')
    return 1
  }
  const commands = JSON.parse(readFileSync(path.join(database, 'compile_commands.json'), 'utf8'))
  const wanted = chosen.map((file) => path.resolve(file))
  const files = [...new Set(commands.map(({ directory, file }) => path.resolve(directory, file)))].filter((file) =>
    wanted.length > 0
      ? wanted.includes(file)
      : file.startsWith(path.join(root, 'native') + path.sep) &&
        file.endsWith('.cc') &&
        skipped.every((folder) => !file.startsWith(folder)),
  )
  if (files.length === 0) {
    console.error(`No file to check is part of the build in ${path.relative(root, database)}.`)
    return 1
  }
  let bad = 0
  const queue = [...files]
  const work = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const { ok, output } = await check(tidy, database, file)
      if (ok) continue
      bad += 1
      console.log(`${path.relative(root, file)}\n${output.trimEnd()}`)
    }
  }
  await Promise.all(Array.from({ length: os.availableParallelism() }, work))
  console.log(`${files.length - bad} files without findings, ${bad} with`)
  return bad > 0 ? 1 : 0
}

process.exitCode = await main(process.argv.slice(2))
