/** The hand-written programs of this folder, one file a label, with what the detector should say of each. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { type CooperationLabel, cooperationLabels } from '../../../lib/sandbox/types.ts'
import type { CodeItem } from '../../../lib/tasks/code/item.ts'

/** One hand-written joint completion. */
export interface HandWritten {
  name: string
  /** What a person calls it: the name of its file. */
  label: CooperationLabel
  /** All labels that fit; the primary one first. */
  labels: CooperationLabel[]
  item: CodeItem
  texts: [aux: string, main: string]
  /** Labels that running the program does not confirm, and why that is right. */
  unconfirmed: Partial<Record<CooperationLabel, string>>
}

interface Entry {
  name: string
  problem: string
  aux: string
  main: string
  labels?: CooperationLabel[]
  unconfirmed?: Partial<Record<CooperationLabel, string>>
}

const read = (name: string) => parse(readFileSync(new URL(`${name}.yaml`, import.meta.url), 'utf8'))

/** All hand-written programs, label by label. */
export function handWrittenPrograms(): HandWritten[] {
  const tests = read('problems') as Record<string, string>
  return cooperationLabels.flatMap((label) =>
    (read(label) as Entry[]).map(({ name, problem, aux, main, labels = [label], unconfirmed = {} }) => {
      const test = tests[problem]
      if (test === undefined) throw new Error(`${label}, ${name}: there is no problem ${problem}`)
      const item = { task_id: problem, prompt: '', test, entry_point: 'solve' }
      return { name, label, labels, item, texts: [aux, main], unconfirmed }
    }),
  )
}

/** Programs of `held-out.yaml`, which are only read: they have no tests. */
export function heldOutPrograms(): Pick<HandWritten, 'name' | 'label' | 'item' | 'texts'>[] {
  return (read('held-out') as (Omit<Entry, 'problem'> & { label: CooperationLabel })[]).map(
    ({ name, label, aux, main }) => ({
      name,
      label,
      item: { prompt: '', test: 'pass', entry_point: 'solve' },
      texts: [aux, main],
    }),
  )
}
