/** The JSON Schemas that editors use agree with the checks that runs are put to. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import test from 'ava'
import { parse } from 'yaml'
import { repositoryDir } from '../support/fixtures.ts'

const ajv = new Ajv2020({ strict: false, allErrors: true })
const schemaOf = (name: string) => ajv.compile(JSON.parse(readFileSync(join(repositoryDir, 'schemas', name), 'utf8')))
const schemas = { run: schemaOf('run.json'), compare: schemaOf('compare.json') }

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
  ['a number out of range', { steps: 0 }],
  ['a task that is not there', { task: 'haiku' }],
  ['a setting of another task', { task: { name: 'story', signatures: 'repaired' } }],
  ['a missing section', { optimizer: undefined }],
] as const)
  test(`${what} is marked`, (t) => {
    t.true(schemas.run(valid))
    t.false(schemas.run(JSON.parse(JSON.stringify({ ...valid, ...change }))))
  })

test('every key has a description', (t) => {
  const without: string[] = []
  const look = (schema: Record<string, unknown>, path: string): void => {
    for (const [key, property] of Object.entries(
      (schema.properties ?? {}) as Record<string, Record<string, unknown>>,
    )) {
      if (typeof property.description !== 'string' && property.const === undefined) without.push(`${path}${key}`)
      look(property, `${path}${key}.`)
    }
    for (const part of (schema.anyOf ?? []) as Record<string, unknown>[]) look(part, path)
  }
  for (const { schema } of Object.values(schemas)) look(schema as Record<string, unknown>, '')
  t.deepEqual(without, [])
})
