#!/usr/bin/env node
/**
 * Whether this checkout trains byte for byte as another one does: `node scripts/same-run.mjs OTHER`, a folder with another commit
 * that has been set up. Both train the same short runs, one after the other; the sha256 of `metrics.jsonl`, `samples.jsonl` and of
 * all weights have to be equal. Exits with 1 if one differs.
 *
 * Options: `--only NAME` for one run, `--keep` to leave the run folders where they are, `--steps N` (3).
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = fileURLToPath(new URL('..', import.meta.url))

const miniCode = [
  'examples/mini-code.yaml',
  '--set',
  'evalEvery=2',
  '--set',
  'evalItems=8',
  '--set',
  'promptsPerStep=4',
]

/** Runs by name, as arguments of `magrpo train`. */
const runs = {
  'mini-code-full': miniCode,
  'mini-code-lora': [...miniCode, '--set', 'team.adapter={rank: 4}'],
  'mini-code-turns': [...miniCode, '--set', 'algorithm.turns=2', '--set', 'algorithm.groupSize=2'],
  'mini-code-iac': [...miniCode, '--set', 'algorithm={name: iac}', '--set', 'team.adapter={rank: 4}'],
  story: [
    'examples/story.yaml',
    '--set',
    'evalEvery=0',
    '--set',
    'promptsPerStep=2',
    '--set',
    'sampling.maxNewTokens=64',
  ],
}

/** What is compared of a run folder: lines and weights, by their path. */
function sums(folder) {
  const isCompared = (file) => /^(metrics|samples)\.jsonl$/.test(file) || file.endsWith('.safetensors')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(isCompared).sort()
  return new Map(files.map((file) => [file, sha256(path.join(folder, file))]))
}

const sha256 = (file) => createHash('sha256').update(readFileSync(file)).digest('hex')

function train(checkout, folder, args, threads) {
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), MAGRPO_THREADS: String(threads) }
  const command = ['bin/magrpo.mjs', 'train', ...args, '--run-dir', folder, '--quiet']
  const { status, stderr } = spawnSync(process.execPath, command, { cwd: checkout, env, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${checkout}: magrpo ${command.slice(1).join(' ')} ended with ${status}\n${stderr}`)
  return sums(folder)
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { only: { type: 'string' }, keep: { type: 'boolean' }, steps: { type: 'string', default: '3' } },
})
const other = positionals[0] && path.resolve(positionals[0])
if (other === undefined || !existsSync(path.join(other, 'dist')) || (values.only && !(values.only in runs))) {
  console.error(`usage: node scripts/same-run.mjs OTHER [--only ${Object.keys(runs).join('|')}] [--steps N] [--keep]`)
  console.error('OTHER is a checkout that `npm run setup` has been run in.')
  process.exit(2)
}

const scratch = mkdtempSync(path.join(tmpdir(), 'magrpo-same-'))
let different = 0
for (const [name, args] of Object.entries(runs)) {
  if (values.only && values.only !== name) continue
  for (const deterministic of [false, true]) {
    for (const threads of [1, 2]) {
      const run = `${name}, ${deterministic ? 'deterministic, ' : ''}${threads} thread${threads > 1 ? 's' : ''}`
      const given = [...args, '--steps', values.steps, '--set', `deterministic=${deterministic}`]
      const folder = (side) => path.join(scratch, `${name}-${deterministic ? 'd' : 'n'}${threads}-${side}`)
      const [theirs, ours] = [
        train(other, folder('other'), given, threads),
        train(here, folder('here'), given, threads),
      ]
      const names = [...new Set([...theirs.keys(), ...ours.keys()])]
      const wrong = names.filter((file) => theirs.get(file) !== ours.get(file))
      different += wrong.length
      console.log(
        wrong.length === 0 ? `same       ${run}: ${names.length} files` : `DIFFERENT  ${run}: ${wrong.join(', ')}`,
      )
    }
  }
}
if (values.keep) console.log(`kept in ${scratch}`)
else rmSync(scratch, { recursive: true })
process.exitCode = different > 0 ? 1 : 0
