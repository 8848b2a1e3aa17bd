import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import test from 'ava'
import { NativeLoadError } from '../../lib/base/errors.ts'
import { addonPath, loadAddonFrom, loadError } from '../../lib/native/load-addon.ts'
import { temporaryFolder } from './stand-ins.ts'

test('where the addon is not built, the error says which command builds it', (t) => {
  const folder = temporaryFolder(t)
  const error = t.throws(() => loadAddonFrom(folder), { instanceOf: NativeLoadError, code: 'ERR_ADDON_NOT_BUILT' })
  t.regex(error.message, /not built: expected .*build\/Release\/magrpo\.node/)
  t.regex(error.message, /Run `npx magrpo setup` \(in a clone: `npm run setup`\)/)
  t.deepEqual(error.details, { file: addonPath(folder) })
})

test('a file that is no addon is an error that keeps the cause', (t) => {
  const folder = temporaryFolder(t)
  mkdirSync(path.dirname(addonPath(folder)), { recursive: true })
  writeFileSync(addonPath(folder), 'not an addon')
  const error = t.throws(() => loadAddonFrom(folder), { instanceOf: NativeLoadError, code: 'ERR_ADDON_LOAD' })
  t.like(error.cause, { code: 'ERR_DLOPEN_FAILED' })
  t.regex(
    error.message,
    /does not fit this libtorch or this machine\. Delete the build folder and run `npx magrpo setup`/,
  )
})

test('a missing shared library is named, with the remedy', (t) => {
  const folder = temporaryFolder(t)
  const build = path.dirname(addonPath(folder))
  mkdirSync(build, { recursive: true })
  writeFileSync(path.join(folder, 'a.cc'), 'int f(); int g() { return f(); }')
  writeFileSync(path.join(folder, 'b.cc'), 'int f() { return 1; }')
  const library = path.join(folder, 'libtorch_cpu.so')
  const link = (...args: string[]) => execFileSync('c++', ['-shared', '-fPIC', ...args])
  link('-o', library, path.join(folder, 'b.cc'), '-Wl,-soname,libtorch_cpu.so')
  link('-o', addonPath(folder), path.join(folder, 'a.cc'), library)
  rmSync(library)
  const stamp = { libtorch: { dir: '/moved/libtorch', version: '2.13.0', variant: 'cpu', rule: 'cache' } }
  writeFileSync(path.join(folder, 'build/setup.json'), JSON.stringify(stamp))

  const error = t.throws(() => loadAddonFrom(folder), { instanceOf: NativeLoadError, code: 'ERR_ADDON_LOAD' })
  t.is(error.details.library, 'libtorch_cpu.so')
  t.regex(error.message, /libtorch_cpu\.so: cannot open shared object file/)
  t.regex(
    error.message,
    /is a part of libtorch\. The addon was built with the one in \/moved\/libtorch.*npx magrpo setup/,
  )
})

test('remedies fit what the system says', (t) => {
  const remedy = (reason: string) => loadError('/x', new Error(reason)).message.split('\n').at(-1) ?? ''
  const missing = (library: string) => remedy(`${library}: cannot open shared object file: No such file or directory`)
  t.regex(missing('libcudart.so.13'), /belongs to CUDA/)
  t.regex(missing('libnuma.so.1'), /package that provides libnuma\.so\.1/)
  t.regex(remedy("/lib/libstdc++.so.6: version `GLIBCXX_3.4.32' not found"), /built on a newer system/)
  t.regex(remedy('/x.node: undefined symbol: _ZN2at5emptyE'), /does not fit this libtorch/)
  t.regex(remedy('something else'), /magrpo doctor/)
})

test('MAGRPO_CUDA chooses the CUDA build, in its own folder', (t) => {
  t.is(addonPath('/x', {}), '/x/build/Release/magrpo.node')
  t.is(addonPath('/x', { MAGRPO_CUDA: '0' }), '/x/build/Release/magrpo.node')
  t.is(addonPath('/x', { MAGRPO_CUDA: '1' }), '/x/build/cuda/Release/magrpo.node')
})
