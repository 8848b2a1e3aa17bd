/** The JSON Schemas that editors use agree with the checks that runs are put to. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import { parse } from 'yaml'
import { configSchemas, type JsonSchema, partsOf } from '../../scripts/docs/json-schemas.ts'
import { repositoryDir } from '../support/fixtures.ts'

const ajv = new Ajv2020({ strict: false, allErrors: true })
const made = configSchemas()
const schemas = { run: ajv.compile(made.run), compare: ajv.compile(made.compare) }

const yamlFiles = readdirSync(join(repositoryDir, 'examples'), { recursive: true, withFileTypes: true })
  .filter((entry) => entry.name.endsWith('.yaml'))
  .map((entry) => join(entry.parentPath, entry.name))

for (const file of yamlFiles)
  test(`${relative(repositoryDir, file)} is valid`, (t) => {
    const value = parse(readFileSync(file, 'utf8')) as { methods?: unknown }
    const validate = schemas[value.methods ? 'compare' : 'run']
    t.true(validate(value), JSON.stringify(validate.errors, null, 1))
  })

const valid = { team: { model: 'm' }, task: { name: 'story', train: 10 }, optimizer: { learningRate: 1e-4 }, steps: 1 }
for (const [what, change] of [
  ['an unknown key', { stepz: 1 }],
  ['an unknown algorithm', { algorithm: { name: 'ppo' } }],
  ['an unknown setting of an algorithm', { algorithm: { groupsize: 4 } }],
  ['a number out of range', { steps: 0 }],
  ['a task that is not there', { task: 'haiku' }],
  ['a setting of another task', { task: { name: 'story', signatures: 'repaired' } }],
  ['a missing section', { optimizer: undefined }],
  ['a tracker that is not there', { trackers: ['tensorbord'] }],
  ['an unknown option of a tracker', { trackers: [{ name: 'tensorboard', sampleEvry: 1 }] }],
  ['a module of a tracker without its path', { trackers: [{ options: {} }] }],
] as const)
  test(`${what} is marked`, (t) => {
    t.true(schemas.run(valid))
    t.false(schemas.run(JSON.parse(JSON.stringify({ ...valid, ...change }))))
  })

test('trackers in every form are valid', (t) => {
  const trackers = [
    'tensorboard',
    './own.ts',
    { name: 'tensorboard', sampleEvery: 0 },
    { module: 'own.ts', options: 3 },
  ]
  t.true(schemas.run({ ...valid, trackers }), JSON.stringify(schemas.run.errors))
})

/** Paths of the keys without description. */
function undescribed(schema: JsonSchema, path = ''): string[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, property]) => {
    const below = partsOf(property).flatMap((part) => undescribed(part, `${path}${key}.`))
    return property.description === undefined && property.const === undefined ? [`${path}${key}`, ...below] : below
  })
}

test('every key has a description', (t) => {
  for (const schema of [made.run, made.compare]) t.deepEqual(undescribed(schema), [])
  t.deepEqual(made.undescribed, [])
  const { sampling, algorithm, team } = made.run.properties!
  t.is(sampling!.properties!.topK!.description, 'Keep the k most probable tokens. Defaults to `0`: all.')
  t.regex(algorithm!.properties!.kl!.description!, /^Penalty on leaving the frozen reference/)
  t.is(team!.properties!.dtype!.description, '`auto` is that of the files. Defaults to `auto`.')
})
