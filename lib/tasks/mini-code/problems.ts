/**
 * All problems of mini-code with their asserts, split by (predicate, transformation) pair.
 *
 * The asserts are chosen so that wrong programs fail: of a pool of lists that hold values on both sides of every predicate's
 * boundary, lists are taken until each other entry of the grammar, put in the place of the right one, gives another answer.
 * A problem for which the pool cannot do that (its transformation changes nothing, or its answer is constant) is left out.
 */
import {
  type Fold,
  folds,
  type Predicate,
  type Problem,
  predicates,
  type Transformation,
  transformations,
  type Value,
} from './grammar.ts'
import { humanEvalPrompt } from './prompts.ts'
import { seededRandom, shuffled } from './random.ts'

/** A problem as an item of the task: HumanEval's fields, and the entries of the grammar it is made of. */
export interface MiniCodeItem {
  task_id: string
  /** Signature and docstring of the entry point. */
  prompt: string
  /** A Python function `check(candidate)` with asserts. */
  test: string
  entry_point: string
  /** Ids in the grammar. */
  predicate: string
  transformation: string
  fold: string
}

/** The three parts of the problems; no (predicate, transformation) pair occurs in two of them. */
interface MiniCodeSplit {
  train: MiniCodeItem[]
  /** For choosing settings. */
  validation: MiniCodeItem[]
  /** For the final score only. */
  heldOut: MiniCodeItem[]
}

const splitSeed = 1
const poolSeed = 2
const poolSize = 48
const leastAsserts = 4
const maxAsserts = 8
const heldOutPairs = 66

/** Entries that no problem has, for wrong programs: no filter, no transformation, no fold, and what clashing conventions compute. */
const everything: Predicate = { id: 'everything', text: '', code: '', test: () => true }
const unchanged: Transformation = { id: 'unchanged', text: '', code: '', apply: (x) => x }
const always: Transformation = { id: 'always', text: '', code: '', apply: () => 1 }
const listed: Fold = { id: 'listed', text: '', code: () => '', apply: (values) => values }
const truthy = new Map<Transformation, Predicate>(
  transformations.map((t) => [t, { id: 'truthy', text: '', code: '', test: (x) => t.apply(x) !== 0 }]),
)

/** The lists that asserts use: 5 to 9 integers of [-12, 15], half of them within 1 of zero to nine, some repeated. */
function listPool(): number[][] {
  const random = seededRandom(poolSeed)
  const between = (low: number, high: number) => low + Math.floor(random() * (high - low + 1))
  return Array.from({ length: poolSize }, () => {
    const list = Array.from({ length: between(5, 8) }, () => (random() < 0.5 ? between(-1, 10) : between(-12, 15)))
    const repeated = list[between(0, list.length - 1)] as number
    return random() < 0.5 ? [...list, repeated] : list
  })
}

/** Answers of all combinations of entries on every list of the pool, computed once each. */
class AnswerTable {
  readonly pool = listPool()
  private readonly rows = new Map<Predicate, Map<Transformation, Map<Fold, Int32Array>>>()
  private readonly ids = new Map<string, number>()
  private readonly texts: string[] = []

  /** One number a list of the pool, equal for equal answers; -1 where Python raises. */
  row(predicate: Predicate, transformation: Transformation, fold: Fold): Int32Array {
    const byTransformation = this.rows.get(predicate) ?? new Map<Transformation, Map<Fold, Int32Array>>()
    if (byTransformation.size === 0) this.rows.set(predicate, byTransformation)
    let byFold = byTransformation.get(transformation)
    if (byFold === undefined) {
      const values = this.pool.map((list) => list.filter(predicate.test).map(transformation.apply))
      byFold = new Map(
        [...folds, listed].map((each) => [each, Int32Array.from(values, (list) => this.idOf(each.apply(list)))]),
      )
      byTransformation.set(transformation, byFold)
    }
    return byFold.get(fold) as Int32Array
  }

  /** The answer as Python writes it. */
  text(id: number): string {
    return this.texts[id] as string
  }

  private idOf(value: Value | undefined): number {
    if (value === undefined) return -1
    const text = typeof value === 'number' ? String(value) : `[${value.join(', ')}]`
    let id = this.ids.get(text)
    if (id === undefined) {
      id = this.texts.push(text) - 1
      this.ids.set(text, id)
    }
    return id
  }
}

/** Indices of lists that tell `problem` from all its one-entry changes, or `undefined` if the pool has none. */
function tellingLists(
  { predicate, transformation, fold }: Problem,
  table: AnswerTable,
  offset: number,
): number[] | undefined {
  const right = table.row(predicate, transformation, fold)
  const others = <Entry>(entries: readonly (Entry | undefined)[], own: Entry) =>
    entries.filter((entry) => entry !== undefined && entry !== own) as Entry[]
  let alike = [
    ...others([...predicates, everything, truthy.get(transformation)], predicate).map((p) =>
      table.row(p, transformation, fold),
    ),
    ...others([...transformations, unchanged, always], transformation).map((t) => table.row(predicate, t, fold)),
    ...others([...folds, listed], fold).map((f) => table.row(predicate, transformation, f)),
  ]
  const chosen: number[] = []
  for (let i = 0; i < right.length && (alike.length > 0 || chosen.length < leastAsserts); i++) {
    const list = (i + offset) % right.length
    if ((right[list] as number) < 0) continue
    const left = alike.filter((answers) => answers[list] === right[list])
    if (left.length === alike.length && chosen.length >= leastAsserts) continue
    chosen.push(list)
    alike = left
  }
  const distinctAnswers = new Set(chosen.map((list) => right[list])).size
  return alike.length === 0 && chosen.length <= maxAsserts && distinctAnswers >= 3 ? chosen : undefined
}

function toItem(problem: Problem, table: AnswerTable, offset: number): MiniCodeItem | undefined {
  const { predicate, transformation, fold } = problem
  const lists = tellingLists(problem, table, offset)
  if (lists === undefined) return undefined
  const answers = table.row(predicate, transformation, fold)
  const asserts = lists.map(
    (list) => `    assert candidate([${table.pool[list]?.join(', ')}]) == ${table.text(answers[list] as number)}\n`,
  )
  return {
    task_id: `mini-code/${predicate.id}/${transformation.id}/${fold.id}`,
    prompt: humanEvalPrompt(problem),
    test: `def check(candidate):\n${asserts.join('')}`,
    entry_point: 'solve',
    predicate: predicate.id,
    transformation: transformation.id,
    fold: fold.id,
  }
}

let made: MiniCodeSplit | undefined

/** All problems, made once per process (in less than a second); always the same. */
export function miniCodeProblems(): MiniCodeSplit {
  if (made !== undefined) return made
  const table = new AnswerTable()
  const pairs = predicates.flatMap((predicate) =>
    transformations.map((transformation) => ({ predicate, transformation })),
  )
  const random = seededRandom(splitSeed)
  const parts = shuffled(pairs, random).map((pair) =>
    folds.flatMap((fold) => toItem({ ...pair, fold }, table, Math.floor(random() * poolSize)) ?? []),
  )
  const full = parts.filter((items) => items.length > 0)
  made = {
    heldOut: shuffled(full.slice(0, heldOutPairs).flat(), random),
    validation: shuffled(full.slice(heldOutPairs, 2 * heldOutPairs).flat(), random),
    train: shuffled(full.slice(2 * heldOutPairs).flat(), random),
  }
  return made
}

/** The grammar's entries of an item. @throws RangeError if the item names an entry that does not exist */
export function problemOf(item: Pick<MiniCodeItem, 'predicate' | 'transformation' | 'fold'>): Problem {
  return {
    predicate: named(predicates, item.predicate),
    transformation: named(transformations, item.transformation),
    fold: named(folds, item.fold),
  }
}

function named<Entry extends { id: string }>(entries: readonly Entry[], id: string): Entry {
  const entry = entries.find((candidate) => candidate.id === id)
  if (entry === undefined)
    throw new RangeError(`Expected one of ${entries.map((e) => e.id).join(', ')} but received ${id}.`)
  return entry
}
