/** Models of the hub, against a hub on this machine: cache, download, resumption, and everything that can go wrong. */

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { DownloadEvent } from '../../lib/hub/download.ts'
import { Model } from '../../lib/model/model.ts'
import { Policy } from '../../lib/model/policy.ts'
import { type PulledModel, pullModel } from '../../lib/model/pull.ts'
import { runCli } from '../support/cli.ts'
import { rejectsWith } from '../support/errors.ts'
import { commit, etagOf, type FakeHub, filesOf, setEnvironment, startHub } from '../support/fake-hub.ts'
import { goldenDir } from '../support/fixtures.ts'
import { openModel } from '../support/open-model.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { tinyModel } from '../support/tiny-model.ts'

const name = 'org/tiny'
const weights = 'model.safetensors'

/** A hub with a small model, and beside it what nobody needs. */
async function modelHub(t: ExecutionContext, files: Record<string, Buffer> = {}) {
  const model = filesOf(tinyModel({ tokenizer: true }))
  const extras = {
    'README.md': Buffer.from('# Tiny'),
    'pytorch_model.bin': Buffer.from('pickle'),
    'onnx/model.bin': Buffer.from('x'),
  }
  return startHub(t, { type: 'model', name }, { ...model, ...extras, ...files })
}

const repository = ({ cache }: FakeHub) => join(cache, 'models--org--tiny')
const snapshot = (hub: FakeHub) => join(repository(hub), 'snapshots', commit)
const partials = (hub: FakeHub) =>
  readdirSync(join(repository(hub), 'blobs')).filter((file) => file.endsWith('incomplete'))
const sent = (hub: FakeHub) => hub.requests.filter((request) => request.startsWith('CDN'))

const prompt = { promptIds: Int32Array.from([3, 14, 15]), completions: [{ ids: Int32Array.from([92, 65, 35]) }] }

test.serial('a name is downloaded once, in the layout of all Hugging Face tools, after it was said', async (t) => {
  const hub = await modelHub(t)
  const events: DownloadEvent[] = []
  const requestsAt: Record<string, number> = {}
  const onDownload = (event: DownloadEvent) => {
    requestsAt[event.kind] ??= hub.requests.length
    events.push(event)
  }
  const model = await openModel(t, name, { onDownload })
  t.deepEqual(model.hub, { name, commit })
  t.is(model.folder, snapshot(hub))
  t.deepEqual(readdirSync(snapshot(hub)).sort(), ['config.json', 'model.safetensors', 'tokenizer.json'])
  for (const file of readdirSync(snapshot(hub))) {
    const blob = etagOf(file, hub.files[file]!)
    t.is(readlinkSync(join(snapshot(hub), file)), `../../blobs/${blob}`)
    t.true(lstatSync(join(repository(hub), 'blobs', blob)).isFile())
    t.deepEqual(readFileSync(join(snapshot(hub), file)), hub.files[file])
  }
  t.is(readFileSync(join(repository(hub), 'refs/main'), 'utf8'), commit)
  t.deepEqual(partials(hub), [])
  t.is(requestsAt.lookup, 0, 'said before anything is asked')
  t.deepEqual(hub.requests.slice(requestsAt.start).filter((request) => /tokenizer|CDN/.test(request)).length, 2)
  const [first, start] = [events[0], events.find(({ kind }) => kind === 'start')]
  t.deepEqual(first, { kind: 'lookup', repository: name, revision: 'main', hub: hub.url })
  t.like(start, { files: ['tokenizer.json', weights], folder: snapshot(hub) })
  t.is(start?.kind === 'start' && start.bytes, hub.files[weights]!.length + hub.files['tokenizer.json']!.length)
  const last = events.filter(({ kind }) => kind === 'progress').at(-1)
  t.true(last?.kind === 'progress' && last.bytes === last.totalBytes)
  t.is(events.at(-1)?.kind, 'end')
  t.is(hub.cdnHeaders.authorization, undefined)
  const count = hub.requests.length
  await openModel(t, name)
  await openModel(t, `${name}@${commit}`)
  t.is(hub.requests.length, count, 'from the cache nothing is asked')
  const local = await openModel(t, model.folder)
  t.is(local.hub, null)
  t.deepEqual(await Policy.base(model).logProbs([prompt]), await Policy.base(local).logProbs([prompt]))
})

test.serial('a local folder of that name comes first', async (t) => {
  const hub = await modelHub(t)
  const root = await temporaryFolder(t)
  const folder = join(root, name)
  mkdirSync(folder, { recursive: true })
  for (const [file, bytes] of Object.entries(filesOf(tinyModel()))) writeFileSync(join(folder, file), bytes)
  const { code, stderr } = await runCli(['generate', '--model', name, '--json', '--max-new-tokens', '1'], {
    cwd: root,
    env: hub.environment,
    input: '{"prompt_ids":[1]}\n',
  })
  t.is(code, 0, stderr)
  rmSync(join(folder, 'config.json'))
  const cwd = process.cwd()
  process.chdir(root)
  t.teardown(() => process.chdir(cwd))
  await rejectsWith(t, () => Model.load(name), 'ERR_MODEL_NOT_FOUND', 'config.json', folder)
  t.deepEqual(hub.requests, [])
})

test.serial('a download that was cancelled goes on where it stopped', async (t) => {
  const hub = await modelHub(t)
  hub.stallAfter = 1000
  const controller = new AbortController()
  const reason = new Error('enough')
  const onDownload = (event: DownloadEvent) => {
    if (event.kind === 'progress' && event.bytes > hub.files['tokenizer.json']!.length) controller.abort(reason)
  }
  t.is(await t.throwsAsync(pullModel(name, { signal: controller.signal, onDownload })), reason)
  const [partial, ...others] = partials(hub)
  t.deepEqual(others, [])
  const begun = statSync(join(repository(hub), 'blobs', partial!)).size
  t.is(begun, 1000)
  t.false(existsSync(join(snapshot(hub), weights)))
  await t.throwsAsync(pullModel(name, { signal: controller.signal }), { is: reason }, 'aborted before')
  hub.stallAfter = undefined
  const pulled = await pullModel(name)
  t.is(sent(hub).at(-1), `CDN ${weights} bytes=${begun}-`)
  t.is(pulled.downloadedBytes, hub.files[weights]!.length - begun)
  t.deepEqual(readFileSync(join(snapshot(hub), weights)), hub.files[weights])
  t.deepEqual(partials(hub), [])
  t.is((await pullModel(name)).downloadedBytes, 0)
})

test.serial('connections that break off are taken up again, with and without ranges', async (t) => {
  const hub = await modelHub(t)
  const size = hub.files[weights]!.length
  hub.breakAfter = Math.ceil(size / 3)
  await pullModel(name)
  t.true(sent(hub).length >= 3, sent(hub).join())
  t.deepEqual(readFileSync(join(snapshot(hub), weights)), hub.files[weights])
  rmSync(hub.cache, { recursive: true })
  Object.assign(hub, { breakAfter: undefined, ignoresRange: true })
  const blob = join(repository(hub), 'blobs', etagOf(weights, hub.files[weights]!))
  mkdirSync(join(blob, '..'), { recursive: true })
  writeFileSync(`${blob}.magrpo.incomplete`, hub.files[weights]!.subarray(0, 500))
  await pullModel(name)
  t.is(sent(hub).at(-1), `CDN ${weights} bytes=500-`)
  t.deepEqual(readFileSync(join(snapshot(hub), weights)), hub.files[weights])
})

test.serial('what is damaged is never used: of an earlier download, or as it comes', async (t) => {
  const hub = await modelHub(t)
  const size = hub.files[weights]!.length
  const blob = join(repository(hub), 'blobs', etagOf(weights, hub.files[weights]!))
  mkdirSync(join(blob, '..'), { recursive: true })
  for (const length of [100, size, size + 5]) {
    writeFileSync(`${blob}.magrpo.incomplete`, Buffer.alloc(length, 7))
    await pullModel(name)
    t.deepEqual(readFileSync(join(snapshot(hub), weights)), hub.files[weights], `${length}`)
    rmSync(blob)
    rmSync(join(snapshot(hub), weights))
  }
  hub.corrupts = true
  const error = await rejectsWith(
    t,
    () => pullModel(name),
    'ERR_DOWNLOAD',
    weights,
    'damaged',
    etagOf(weights, hub.files[weights]!),
  )
  t.is(error.details.reason, 'checksum')
  t.false(existsSync(join(snapshot(hub), weights)))
  t.deepEqual(partials(hub), [])
  hub.corrupts = false
  await openModel(t, name)
})

test.serial('revisions: branch, tag, commit, and a branch that moved', async (t) => {
  const hub = await modelHub(t)
  const tagged = await pullModel(`${name}@v1`)
  t.like(tagged, { name, revision: 'v1', commit, kind: 'model' })
  t.is(readFileSync(join(repository(hub), 'refs/v1'), 'utf8'), commit)
  t.false(existsSync(join(repository(hub), 'refs/main')))
  await pullModel(name, { revision: commit })
  t.deepEqual(readdirSync(join(repository(hub), 'refs')), ['v1'])
  await rejectsWith(t, () => pullModel(`${name}@v9`), 'ERR_MODEL_NOT_FOUND', name, '(v9)')
  await pullModel(name)
  hub.commit = 'decade'.padEnd(40, '0')
  const config = JSON.parse(hub.files['config.json']!.toString())
  hub.files['config.json'] = Buffer.from(JSON.stringify({ ...config, rms_norm_eps: 1e-4 }))
  const sentBefore = sent(hub).length
  t.is((await openModel(t, name)).hub?.commit, commit, 'what is there is used')
  t.is((await pullModel(name)).commit, hub.commit, 'a pull asks')
  t.is(sent(hub).length, sentBefore, 'weights that are there are not fetched again')
  t.is((await openModel(t, name)).config.rmsNormEps, 1e-4)
  t.is((await openModel(t, `${name}@${commit}`)).config.rmsNormEps, config.rms_norm_eps)
  t.is((await openModel(t, name, { revision: 'v1' })).hub?.commit, commit)
})

test.serial('tokens: of the variable, of the file, wrong, missing; never for the host of large files', async (t) => {
  const hub = await modelHub(t)
  hub.token = 'secret'
  const noToken = await rejectsWith(
    t,
    () => Model.load(name),
    'ERR_DOWNLOAD',
    '401',
    'set HF_TOKEN',
    'There is no folder',
  )
  t.is(noToken.details.reason, 'unauthorized')
  setEnvironment(t, { HF_TOKEN: 'wrong' })
  await rejectsWith(t, () => pullModel(name), 'ERR_DOWNLOAD', 'the token that was sent may not read it')
  process.env.HF_TOKEN = ' secret\n'
  await pullModel(name)
  t.is(hub.cdnHeaders.authorization, undefined)
  rmSync(hub.cache, { recursive: true })
  mkdirSync(hub.cache)
  process.env.HF_TOKEN = ''
  writeFileSync(join(hub.cache, 'token'), 'secret\n')
  await pullModel(name)
  hub.isGated = true
  rmSync(repository(hub), { recursive: true })
  const gated = await rejectsWith(t, () => pullModel(name), 'ERR_DOWNLOAD', 'accept its terms', `${hub.url}/${name}`)
  t.is(gated.details.reason, 'gated')
})

test.serial('offline: what is there is used, what is not is named, and nothing is asked', async (t) => {
  const hub = await modelHub(t)
  await pullModel(name)
  const count = hub.requests.length
  setEnvironment(t, { HF_HUB_OFFLINE: '1' })
  await openModel(t, name)
  const { files, ...pulled } = await pullModel(name)
  t.deepEqual(pulled, { name, revision: 'main', commit, folder: snapshot(hub), kind: 'model', downloadedBytes: 0 })
  t.deepEqual(files.find(({ path }) => path === weights)?.size, hub.files[weights]!.length)
  const error = await rejectsWith(
    t,
    () => Model.load('org/other'),
    'ERR_MODEL_NOT_FOUND',
    'org/other',
    'HF_HUB_OFFLINE',
  )
  t.is(error.details.reason, 'offline')
  rmSync(join(snapshot(hub), weights))
  await rejectsWith(t, () => Model.load(name), 'ERR_MODEL_NOT_FOUND', 'not in the cache as a whole')
  t.is(hub.requests.length, count)
  process.env.HF_HUB_OFFLINE = ''
  await openModel(t, name)
  process.env.HF_ENDPOINT = 'http://127.0.0.1:9'
  const nobody = await rejectsWith(t, () => Model.load('org/other'), 'ERR_DOWNLOAD', 'does not answer', 'local copy')
  t.is(nobody.details.reason, 'unreachable')
})

test.serial('names that are none, and models that cannot be used, before their weights are fetched', async (t) => {
  const hub = await modelHub(t)
  for (const bad of ['tiny', 'a/b/c', '../tiny', 'org/..', 'org/ti--ny', 'org/tiny@', 'org/tiny@../main', '/org/tiny'])
    await rejectsWith(t, () => pullModel(bad), 'ERR_ARGUMENT', JSON.stringify(bad))
  t.deepEqual(hub.requests, [])
  await rejectsWith(t, () => Model.load('org/other'), 'ERR_MODEL_NOT_FOUND', 'no such model', 'There is no folder')
  const { [weights]: bytes, ...rest } = hub.files
  hub.files = rest
  const error = await rejectsWith(t, () => pullModel(name), 'ERR_MODEL_UNSUPPORTED', weights, 'pytorch_model.bin')
  t.is(error.details.reason, 'unusable')
  hub.files = { ...rest, [weights]: bytes!, 'config.json': Buffer.from('{"model_type":"gpt2"}') }
  await rejectsWith(t, () => pullModel(name), 'ERR_MODEL_UNSUPPORTED', 'gpt2')
  t.deepEqual(sent(hub), [])
})

test.serial('shards, and a model without tokenizer', async (t) => {
  const hub = await startHub(t, { type: 'model', name }, filesOf(goldenDir('llama-sharded')))
  const model = await openModel(t, name)
  t.is(readdirSync(snapshot(hub)).length, 5)
  const local = await openModel(t, goldenDir('llama-sharded'))
  t.deepEqual(await Policy.base(model).logProbs([prompt]), await Policy.base(local).logProbs([prompt]))
  const count = hub.requests.length
  await openModel(t, name)
  t.is(hub.requests.length, count, 'that it has no tokenizer is remembered')
  rmSync(join(snapshot(hub), 'model-00002-of-00003.safetensors'))
  await openModel(t, name)
  t.is(sent(hub).length, 3, 'a blob that is there is linked again')
})

test.serial('adapters come by name too, and say which base they are for', async (t) => {
  const hub = await modelHub(t)
  const model = await openModel(t, name)
  const trained = await Policy.lora(model, { rank: 2 })
  await trained.accumulate([
    { ...prompt, completions: [{ ...prompt.completions[0]!, weights: Float32Array.from([1, 1, 1]) }] },
  ])
  await trained.step({ learningRate: 0.01 })
  const folder = await temporaryFolder(t)
  await trained.save(folder)
  const config = JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8'))
  t.like(config, { base_model_name_or_path: name, revision: commit })
  rmSync(hub.cache, { recursive: true })
  hub.files = { ...filesOf(folder), 'README.md': Buffer.from('#') }
  const opened = await Policy.fromAdapter(model, name)
  t.deepEqual(readdirSync(snapshot(hub)).sort(), ['adapter_config.json', 'adapter_model.safetensors'])
  t.deepEqual(await opened.logProbs([prompt]), await trained.logProbs([prompt]))
  const count = hub.requests.length
  await Policy.fromAdapter(model, `${name}@main`)
  t.is(hub.requests.length, count)
})

test.serial('several at once, in this process and in others: one fetches, all have it', async (t) => {
  const hub = await modelHub(t)
  const events: DownloadEvent[] = []
  const onDownload = (event: DownloadEvent) => events.push(event)
  const commands = [1, 2].map(() => runCli(['pull', name, '--json'], { env: hub.environment }))
  const pulled = await Promise.all([pullModel(name, { onDownload }), pullModel(name, { onDownload })])
  for (const { code, stderr, json } of await Promise.all(commands)) {
    t.is(code, 0, stderr)
    t.like(json()[0], { name, folder: snapshot(hub) })
  }
  t.is(sent(hub).length, 1)
  t.is(pulled[0].commit, pulled[1].commit)
  t.true(events.some(({ kind }) => kind === 'waiting'))
  t.deepEqual(readdirSync(join(hub.cache, '.locks/models--org--tiny')), [])
})

test.serial('a lock of a dead process, and one that nobody keeps alive, are taken over', async (t) => {
  const hub = await modelHub(t)
  const lock = join(hub.cache, '.locks/models--org--tiny/magrpo.lock')
  mkdirSync(join(lock, '..'), { recursive: true })
  const { pid } = spawnSync('true')
  const owner = { pid, host: (await import('node:os')).hostname(), since: '', process: null, id: 'x' }
  writeFileSync(lock, JSON.stringify(owner))
  await pullModel(name)
  // A thread of a living process that was terminated.
  writeFileSync(lock, JSON.stringify({ ...owner, pid: process.pid }))
  const longAgo = new Date(Date.now() - 3_600_000)
  const { utimesSync } = await import('node:fs')
  utimesSync(lock, longAgo, longAgo)
  await pullModel(name)
  t.false(existsSync(lock))
})

test.serial('a disk without room: seen before, and while it fills up', async (t) => {
  const hub = await modelHub(t)
  hub.sizes = { [weights]: 2 ** 52 }
  const before = await rejectsWith(t, () => pullModel(name), 'ERR_DOWNLOAD', 'make room', 'HF_HOME')
  t.is(before.details.reason, 'disk_full')
  t.deepEqual(sent(hub), [])
  hub.sizes = undefined
  rmSync(repository(hub), { recursive: true, force: true })
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=512k', 'tmpfs', hub.cache], { encoding: 'utf8' })
  if (mounted.status !== 0) return t.log(`skipped: a tmpfs cannot be mounted here (${mounted.stderr})`)
  t.teardown(() => spawnSync('umount', ['-l', hub.cache]))
  hub.files[weights] = Buffer.alloc(450_000, 1)
  const onDownload = (event: DownloadEvent) => {
    if (event.kind === 'start')
      spawnSync('dd', ['if=/dev/zero', `of=${join(hub.cache, 'ballast')}`, 'bs=4k', 'count=60'])
  }
  const during = await rejectsWith(
    t,
    () => pullModel(name, { onDownload }),
    'ERR_DOWNLOAD',
    'is full',
    'what has come is kept',
  )
  t.is(during.details.reason, 'disk_full')
  t.is(partials(hub).length, 1)
  rmSync(join(hub.cache, 'ballast'))
  await pullModel(name)
  t.regex(sent(hub).at(-1)!, /bytes=\d+-$/)
  t.is(
    createHash('sha256')
      .update(readFileSync(join(snapshot(hub), weights)))
      .digest('hex'),
    etagOf(weights, hub.files[weights]!),
  )
})

test.serial('magrpo pull: lines for people, JSON for machines, exit codes', async (t) => {
  const hub = await modelHub(t)
  const { environment: env } = hub
  const first = await runCli(['pull', `${name}@v1`], { env })
  t.is(first.code, 0, first.stderr)
  t.is(first.stdout, `${snapshot(hub)}\n`)
  t.regex(first.stderr, /^asking http.* for org\/tiny \(v1\)\ndownloading org\/tiny: 2 files, .*KiB, to /)
  const again = await runCli(['pull', name, '--revision', 'v1', '--json', '--quiet'], { env })
  const [pulled] = again.json() as (PulledModel & { downloaded_bytes: number })[]
  t.like(pulled, { name, revision: 'v1', commit, folder: snapshot(hub), kind: 'model', downloaded_bytes: 0 })
  t.deepEqual(pulled!.files.map(({ path }) => path).sort(), ['config.json', weights, 'tokenizer.json'])
  const missing = await runCli(['pull', 'org/other'], { env })
  t.is(missing.code, 1)
  t.regex(missing.stderr, /no such model.*\ncode: ERR_MODEL_NOT_FOUND/)
  t.is((await runCli(['pull'], { env })).code, 2)
  rmSync(repository(hub), { recursive: true })
  hub.stallAfter = 1000
  const partial = join(repository(hub), 'blobs', `${etagOf(weights, hub.files[weights]!)}.magrpo.incomplete`)
  const stopped = await runCli(['pull', name], {
    env,
    onSpawn(child) {
      const timer = setInterval(() => {
        if (!existsSync(partial)) return
        clearInterval(timer)
        child.kill('SIGINT')
      }, 20)
    },
  })
  t.is(stopped.code, 130, stopped.stderr)
  t.is(partials(hub).length, 1)
  t.is(readdirSync(join(hub.cache, '.locks/models--org--tiny')).length, 0)
})

test.serial('a pull that was killed: the next one goes on where it stopped', async (t) => {
  const hub = await modelHub(t)
  hub.stallAfter = 1000
  const partial = join(repository(hub), 'blobs', `${etagOf(weights, hub.files[weights]!)}.magrpo.incomplete`)
  const killed = await runCli(['pull', name], {
    env: hub.environment,
    onSpawn(child) {
      const timer = setInterval(() => {
        if (!existsSync(partial) || statSync(partial).size < 1000) return
        clearInterval(timer)
        child.kill('SIGKILL')
      }, 20)
    },
  })
  t.is(killed.code, null)
  hub.stallAfter = undefined
  const { code, stderr } = await runCli(['pull', name], { env: hub.environment })
  t.is(code, 0, stderr)
  t.is(sent(hub).at(-1), `CDN ${weights} bytes=1000-`)
  t.deepEqual(readFileSync(join(snapshot(hub), weights)), hub.files[weights])
})

test.serial('commands take names: it is said before a download, and the output stays clean', async (t) => {
  const hub = await modelHub(t)
  const args = ['generate', '--model', `${name}@v1`, '--json', '--temperature', '0', '--max-new-tokens', '3']
  const { code, stderr, json } = await runCli(args, { env: hub.environment, input: '{"prompt":"ab"}\n' })
  t.is(code, 0, stderr)
  t.is(json().length, 1)
  t.regex(stderr, /^asking .* for org\/tiny \(v1\)\ndownloading org\/tiny/)
})
