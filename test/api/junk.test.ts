/** Every function of the package, called with what it is not for: each call ends in an error with a code, or does its work. */
import test from 'ava'
import { MagrpoError } from '../../lib/base/errors.ts'
import * as magrpo from '../../lib/index.ts'
import { Policy, Team } from '../../lib/index.ts'
import { goldenModel } from '../support/golden-models.ts'
import { openModel } from '../support/open-model.ts'
import { tinyModel } from '../support/tiny-model.ts'

const circle: Record<string, unknown> = {}
circle.self = circle

const junk: Record<string, unknown> = {
  null: null,
  'a number': 7,
  'a negative number': -1.5,
  'a big integer': 10n,
  text: '/nowhere/at-all',
  true: true,
  'an empty list': [],
  'a list of null': [null],
  'a list of numbers': [1, 2],
  'an empty object': {},
  'an unknown key': { frobnicate: 1 },
  'a circle': circle,
  'a function': () => 1,
  'a symbol': Symbol('x'),
  'a promise': Promise.resolve(1),
  nothing: undefined,
}

/** Calls that junk is right for: they do their work, or do it with the defaults. */
const mayWork: Record<string, readonly string[]> = {
  generateBatch: ['an empty list'],
  accumulateBatch: ['an empty list'],
  scoreBatch: ['an empty list'],
  'policy.generate': ['an empty list'],
  'policy.logProbs': ['an empty list'],
  'policy.accumulate': ['an empty list'],
  detectCooperations: ['an empty list'],
  cooperationReport: ['an empty list'],
  modelFolder: ['text'],
}

/** Which have nothing to be given. */
const leftOut = ['diagnose', 'supportedArchitectures']

/** Which take options alone, and none of them is needed. */
const optionsAlone = [...Object.keys(magrpo.algorithms), 'tensorBoard', 'startWatch', 'PythonSandbox.start']
const tasksOfOptions = ['tasks.story', 'tasks.miniCode']

type Call = (...given: unknown[]) => unknown

const isClass = (value: unknown) => /^class\b/.test(Function.prototype.toString.call(value))

function exported(): Record<string, Call> {
  const calls: Record<string, Call> = {}
  for (const [name, value] of Object.entries<unknown>(magrpo)) {
    if (typeof value === 'function' && !isClass(value)) calls[name] = value as Call
  }
  for (const [name, value] of Object.entries<unknown>(magrpo.tasks)) calls[`tasks.${name}`] = value as Call
  const { Model, PythonSandbox, Tokenizer } = magrpo
  Object.assign(calls, {
    'Model.load': Model.load.bind(Model),
    'Policy.base': Policy.base.bind(Policy),
    'Policy.full': Policy.full.bind(Policy),
    'Policy.lora': Policy.lora.bind(Policy),
    'Policy.fromAdapter': Policy.fromAdapter.bind(Policy),
    'Team.adapters': Team.adapters.bind(Team),
    'Team.shared': Team.shared.bind(Team),
    'Team.of': Team.of.bind(Team),
    'PythonSandbox.start': PythonSandbox.start.bind(PythonSandbox),
    'Tokenizer.load': Tokenizer.load.bind(Tokenizer),
    'new Tokenizer': (files) => new Tokenizer(files as never),
    'new StreamDecoder': (tokenizer) => new magrpo.StreamDecoder(tokenizer as never),
  } as Record<string, Call>)
  for (const name of leftOut) delete calls[name]
  return calls
}

/** What is wrong with how a call ended, or null. */
async function fault(call: () => unknown, mayReturn: boolean): Promise<string | null> {
  try {
    const result = await call()
    if (mayReturn) {
      const made = result as { dispose?(): Promise<void>; close?(): Promise<void> } | undefined
      await (made?.close?.() ?? made?.dispose?.())
      return null
    }
    return 'returned'
  } catch (error) {
    return error instanceof MagrpoError ? null : `threw ${String(error).slice(0, 150)}`
  }
}

for (const [name, call] of Object.entries(exported()))
  test(`${name} of junk`, async (t) => {
    const faults: string[] = []
    const isOfOptions = optionsAlone.includes(name) || tasksOfOptions.includes(name)
    for (const [what, value] of Object.entries(junk)) {
      const fine = isOfOptions ? ['an empty object', 'nothing'] : (mayWork[name] ?? [])
      if (isOfOptions && fine.includes(what)) continue
      const wrong = await fault(() => call(value), fine.includes(what))
      if (wrong !== null) faults.push(`${what}: ${wrong}`)
      if (isOfOptions) continue
      const second = await fault(() => call(value, value), fine.includes(what))
      if (second !== null) faults.push(`${what}, twice: ${second}`)
    }
    t.deepEqual(faults, [])
  })

test('methods of models, policies, teams and tokenizers', async (t) => {
  const model = await openModel(t, tinyModel({ tokenizer: true }))
  const policy = await Policy.lora(model, { rank: 2 })
  const tokenizer = model.tokenizer!
  const ids = Int32Array.of(1, 2)
  const group = { promptIds: ids, completions: [{ ids, weights: Float32Array.of(0, 0) }] }
  const within = (value: unknown) => [{ ...group, completions: value }]
  const calls: Record<string, Call> = {
    'policy.generate': (value) => policy.generate(value as never),
    'policy.logProbs': (value) => policy.logProbs(value as never),
    'policy.accumulate': (value) => policy.accumulate(value as never),
    'options of generate': (value) => policy.generate([ids], value as never),
    'a prompt': (value) => policy.generate([value as never]),
    'options of logProbs': (value) => policy.logProbs([group], value as never),
    'options of accumulate': (value) => policy.accumulate([group], value as never),
    'a loss': (value) => policy.accumulate([group], { loss: value as never }),
    completions: (value) => policy.logProbs(within(value) as never),
    'a completion': (value) => policy.logProbs(within([value]) as never),
    'ids of a completion': (value) => policy.logProbs(within([{ ids: value }]) as never),
    'weights of a completion': (value) => policy.accumulate(within([{ ids, weights: value }]) as never),
    'policy.step': (value) => policy.step(value as never),
    'signal of step': (value) => policy.step({ learningRate: 0 }, value as never),
    'policy.attachValueHead': (value) => policy.attachValueHead(value as never),
    'policy.loadValueHead': (value) => policy.loadValueHead(value as never),
    'options of save': (value) => policy.save('/proc/nowhere', value as never),
    'options of Policy.lora': (value) => Policy.lora(model, value as never),
    'names of Team.adapters': (value) => Team.adapters(model, value as never),
    'options of Team.adapters': (value) => Team.adapters(model, ['a'], value as never),
    'options of Team.of': (value) => Team.of([{ name: 'a', policy }], value as never),
    'tokenizer.encode': (value) => tokenizer.encode(value as never),
    'options of encode': (value) => tokenizer.encode('x', value as never),
    'tokenizer.decode': (value) => tokenizer.decode(value as never),
    'options of decode': (value) => tokenizer.decode([1], value as never),
    'tokenizer.renderChat': (value) => tokenizer.renderChat(value as never),
    'settings of groupAdvantages': (value) => magrpo.groupAdvantages([1], value as never),
  }
  // Where options, lists and texts may be empty or be left out; a file that is not there has Node's own code.
  const fine = ['nothing', 'an empty object', 'an empty list', 'text', 'a list of numbers']
  for (const [name, call] of Object.entries(calls)) {
    for (const [what, value] of Object.entries(junk)) {
      const wrong = await fault(() => call(value), fine.includes(what))
      if (name === 'policy.loadValueHead' && what === 'text') continue
      if (name === 'a loss' && what === 'a promise') continue
      t.is(wrong, null, `${name}: ${what}`)
    }
  }
})

test('train, evaluate and playBaseline with a part that is junk', async (t) => {
  await using team = await Team.adapters(await openModel(t, goldenModel('llama')), ['a'], { rank: 2 })
  const task = magrpo.defineTask({
    name: 'toy',
    agents: ['a'],
    items: [1],
    observe: () => 'x',
    reward: () => 0,
  })
  const parts = ['team', 'task', 'algorithm', 'sampling', 'optimizer', 'sinks', 'signal', 'steps', 'trackers', 'seed']
  for (const part of [...parts, 'runDir', 'items', 'baseline'])
    for (const [what, value] of Object.entries(junk)) {
      if (value === undefined) continue
      const options = { team, task, steps: 1, optimizer: { learningRate: 0 }, [part]: value }
      const isList =
        ['sinks', 'trackers'].includes(part) && what === 'an empty list' && (value as unknown[]).length === 0
      const works = (part === 'steps' || part === 'seed' ? what === 'a number' : false) || isList || part === 'runDir'
      if (['sampling', 'optimizer'].includes(part) && what === 'an empty object') continue
      if (part !== 'items' && part !== 'baseline')
        t.is(await fault(() => magrpo.train(options as never), works), null, `train, ${part}: ${what}`)
      if (['team', 'task', 'sampling', 'signal', 'items'].includes(part) && !Array.isArray(value)) {
        const { steps: _s, optimizer: _o, ...others } = options
        t.is(await fault(() => magrpo.evaluate(others as never), false), null, `evaluate, ${part}: ${what}`)
      }
      if (['team', 'task', 'baseline'].includes(part)) {
        const { steps: _s, optimizer: _o, ...others } = { baseline: 'single', ...options }
        t.is(await fault(() => magrpo.playBaseline(others as never), false), null, `playBaseline, ${part}: ${what}`)
      }
    }
})

test('every part of a task that is junk', (t) => {
  const fine = { name: 'toy', agents: ['a'], items: [1], observe: () => 'x', reward: () => 0 }
  t.notThrows(() => magrpo.defineTask(fine))
  for (const part of ['name', 'agents', 'heldOut', 'observe', 'reward', 'metrics', 'transition', 'defaults'])
    for (const [what, value] of Object.entries(junk)) {
      if (value === undefined || (what === 'text' && part === 'name') || what === 'a function') continue
      if (part === 'heldOut' && Array.isArray(value)) continue
      if (part === 'defaults' && what === 'an empty object') continue
      if (part === 'defaults' && what === 'a promise') continue
      t.throws(
        () => magrpo.defineTask({ ...fine, [part]: value } as never),
        { instanceOf: MagrpoError },
        `${part}: ${what}`,
      )
    }
  t.throws(() => magrpo.defineTask({ ...fine, rewards: 1 } as never), {
    code: 'ERR_TASK',
    message: /did you mean "reward"/,
  })
  t.throws(() => magrpo.defineTask({ ...fine, defaults: { maxTokens: 4 } } as never), {
    code: 'ERR_TASK',
    message: /defaults.maxTokens`; did you mean "maxNewTokens"/,
  })
})
