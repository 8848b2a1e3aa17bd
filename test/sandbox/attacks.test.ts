import test from 'ava'
import { PythonSandbox } from '../../lib/sandbox/python-sandbox.ts'
import type { FailureReason, TestReport } from '../../lib/sandbox/types.ts'

let sandbox: PythonSandbox

test.before(async () => {
  sandbox = await PythonSandbox.start({
    workers: 1,
    limits: { cpuSeconds: 0.5, programCpuSeconds: 3, wallSeconds: 60, memoryBytes: 256 * 2 ** 20 },
  })
})

test.after.always(() => sandbox?.dispose())

const tests = 'def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 6\n'
const honest = 'def f(x):\n    return 2 * x\n'

function run(program: string): Promise<TestReport> {
  return sandbox.runTests({ program, entryPoint: 'f', tests })
}

/** A function whose body is `lines`. */
function f(...lines: string[]): string {
  return ['def f(x):', ...lines.map((line) => `    ${line}`), ''].join('\n')
}

interface Attack {
  name: string
  program: string
  /** Any of these may be the reason; `null` stands for a program that passes all the same. */
  reasons: (FailureReason | null)[]
}

const attacks: Attack[] = [
  { name: 'an endless loop', program: f('while True:', '    pass'), reasons: ['timeout'] },
  {
    name: 'an endless loop that swallows exceptions',
    program: f(
      'while True:',
      '    try:',
      '        while True:',
      '            pass',
      '    except BaseException:',
      '        pass',
    ),
    reasons: ['timeout'],
  },
  { name: 'an endless loop in C code', program: f('return sum(range(10**15))'), reasons: ['timeout'] },
  { name: 'an endless loop while loading', program: `while True:\n    pass\n${honest}`, reasons: ['timeout'] },
  { name: 'sleeping', program: f('import time', 'time.sleep(1000)'), reasons: ['timeout'] },
  {
    name: 'a fork bomb',
    program: f('import os', 'while True:', '    os.fork()'),
    reasons: ['exception'],
  },
  {
    name: 'a fork bomb that swallows errors',
    program: f('import os', 'while True:', '    try:', '        os.fork()', '    except OSError:', '        pass'),
    reasons: ['timeout'],
  },
  { name: 'threads', program: f('import threading', 'threading.Thread(target=print).start()'), reasons: ['exception'] },
  {
    name: 'starting a program',
    program: f('import subprocess', 'subprocess.run(["/usr/bin/id"])'),
    reasons: ['exception'],
  },
  { name: 'a memory bomb', program: f('return [0] * 10**9'), reasons: ['memory'] },
  { name: 'a slow memory bomb', program: f('a = []', 'while True:', '    a.append("x" * 10**6)'), reasons: ['memory'] },
  { name: 'a huge number', program: f('return 10 ** 10 ** 10'), reasons: ['timeout', 'memory'] },
  { name: 'a gigabyte of output', program: f('for i in range(1000):', '    print("x" * 10**6)'), reasons: ['output'] },
  {
    name: 'a gigabyte of output through descriptors',
    program: f('import os', 'for i in range(1000):', '    os.write(2, b"x" * 10**6)'),
    reasons: ['output'],
  },
  { name: 'a huge result', program: f('return "x" * (2 ** 25)'), reasons: ['output'] },
  { name: 'a huge file', program: f('open("/tmp/a", "w").write("x" * 10**8)'), reasons: ['exception'] },
  { name: 'reading /etc/passwd', program: f('return open("/etc/passwd").read()'), reasons: ['exception'] },
  { name: 'reading /proc/1/environ', program: f('return open("/proc/1/environ").read()'), reasons: ['exception'] },
  {
    name: 'reading /proc/self/environ',
    program: f('return open("/proc/self/environ").read()'),
    reasons: ['exception'],
  },
  { name: 'reading the environment', program: f('import os', 'return os.environ["PATH"]'), reasons: ['exception'] },
  { name: 'writing to the system', program: f('open("/usr/a", "w")'), reasons: ['exception'] },
  { name: 'writing to the root folder', program: f('open("/a", "w")'), reasons: ['exception'] },
  { name: 'writing to /dev', program: f('open("/dev/a", "w")'), reasons: ['exception'] },
  {
    name: 'connecting to the network',
    program: f('import socket', 'socket.create_connection(("127.0.0.1", 22), 1)'),
    reasons: ['exception'],
  },
  { name: 'opening a socket', program: f('import socket', 'socket.socket()', 'return 2 * x'), reasons: ['exception'] },
  {
    name: 'tracing its parent',
    program: f('import ctypes', 'return 2 * x if ctypes.CDLL(None).ptrace(16, 1, 0, 0) != 0 else 0'),
    reasons: [null],
  },
  {
    name: 'sending a datagram',
    program: f('import socket', 'socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("8.8.8.8", 53))'),
    reasons: ['exception'],
  },
  {
    name: 'killing its parent',
    program: f('import os, signal', 'os.kill(os.getppid(), signal.SIGKILL)', 'return 2 * x'),
    reasons: ['exception'],
  },
  {
    name: 'killing everything',
    program: f(
      'import os, signal',
      'for p in (-1, 0, *range(1, 3000)):',
      '    try:',
      '        os.kill(p, signal.SIGKILL)',
      '    except OSError:',
      '        pass',
      'return 0',
    ),
    reasons: ['exit', 'assert'],
  },
  { name: 'os._exit(0)', program: f('import os', 'os._exit(0)'), reasons: ['exit'] },
  { name: 'sys.exit(0)', program: f('import sys', 'sys.exit(0)'), reasons: ['exit'] },
  { name: 'sys.exit(0) while loading', program: `import sys\nsys.exit(0)\n${honest}`, reasons: ['exit'] },
  { name: 'raising KeyboardInterrupt', program: f('raise KeyboardInterrupt'), reasons: ['exception'] },
  { name: 'an abort', program: f('import os', 'os.abort()'), reasons: ['crash', 'exit'] },
  { name: 'a crash', program: f('import ctypes', 'ctypes.string_at(0)'), reasons: ['crash', 'exit'] },
  { name: 'endless recursion', program: f('return f(x)'), reasons: ['exception'] },
  {
    name: 'endless recursion without limit',
    program: `import sys\nsys.setrecursionlimit(10**9)\n${f('return f(x) + 1')}`,
    reasons: ['crash', 'memory', 'timeout', 'exit'],
  },
  { name: 'a syntax error', program: 'def f(x:\n    return 1\n', reasons: ['syntax'] },
  { name: 'a null byte', program: 'def f(x):\n    return "\0"\n', reasons: ['syntax'] },
  {
    name: 'text nested too deeply',
    program: `def f(x):\n    return ${'('.repeat(5000)}x${')'.repeat(5000)}\n`,
    reasons: ['syntax', 'memory'],
  },
  {
    name: 'an expression nested too deeply',
    program: `def f(x):\n    return ${'-'.repeat(200_000)}x\n`,
    reasons: ['syntax', 'memory', 'crash'],
  },
  { name: 'no entry point', program: 'def g(x):\n    return 2 * x\n', reasons: ['name'] },
  {
    name: 'an object that equals everything',
    program:
      'class Yes:\n    def __eq__(self, other):\n        return True\n    __ne__ = __eq__\ndef f(x):\n    return Yes()\n',
    reasons: ['assert'],
  },
  {
    name: 'a number that equals everything',
    program:
      'class Yes(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = int.__hash__\ndef f(x):\n    return Yes(1)\n',
    reasons: ['assert'],
  },
  {
    name: 'a list of objects that equal everything',
    program: 'class Yes(list):\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return Yes([1])\n',
    reasons: ['assert'],
  },
  {
    name: 'another AssertionError',
    program: f(
      'import builtins',
      'builtins.AssertionError = type("A", (Exception,), {})',
      'raise AssertionError("no")',
    ),
    reasons: ['exception'],
  },
  {
    name: 'deleted builtins',
    program: f(
      'import builtins',
      'for name in list(vars(builtins)):',
      '    if name[0] != "_": delattr(builtins, name)',
      'return 5',
    ),
    reasons: ['exit', 'exception', 'assert', 'crash', 'protocol'],
  },
  {
    name: 'changed machinery',
    program: f(
      'import sys',
      'for name, module in list(sys.modules.items()):',
      '    for key in list(vars(module)):',
      '        try: setattr(module, key, lambda *a, **k: True)',
      '        except Exception: pass',
      'return 4',
    ),
    reasons: ['exit', 'exception', 'timeout', 'crash', 'protocol', 'output', 'assert'],
  },
  {
    name: 'a frame of its own on every descriptor',
    program: f(
      'import os, json',
      'for d in range(256):',
      '    body = json.dumps(["", "ok", {"roots": [4], "nodes": []}]).encode()',
      '    try: os.write(d, len(body).to_bytes(4, "big") + body)',
      '    except OSError: pass',
      'return 4',
    ),
    reasons: ['protocol'],
  },
  {
    name: 'a reply that nobody asked for, then the right one',
    program: f(
      'import gc, json, os, sys',
      'frame = sys._getframe()',
      'nonce = None',
      'while frame:',
      '    message = frame.f_locals.get("message")',
      '    if type(message) is dict and "nonce" in message: nonce = message["nonce"]',
      '    frame = frame.f_back',
      'for _ in range(2):',
      '    body = json.dumps([nonce, "ok", {"roots": [4], "nodes": []}]).encode()',
      '    os.write(250, len(body).to_bytes(4, "big") + body)',
      'return 4',
    ),
    reasons: ['protocol'],
  },
  {
    name: 'garbage on the channel',
    program: f('import os', 'os.write(250, b"\\xff" * 100)', 'return 4'),
    reasons: ['protocol', 'output'],
  },
  { name: 'closing the channel', program: f('import os', 'os.closerange(0, 300)', 'return 4'), reasons: ['exit'] },
  {
    name: 'looking for the tests in memory',
    program: f(
      'import gc, sys',
      'found = [o for o in gc.get_objects() if isinstance(o, str) and "check(candidate)" in o]',
      'frame = sys._getframe()',
      'while frame:',
      '    found += [v for v in frame.f_locals.values() if isinstance(v, str) and "candidate(2)" in v]',
      '    frame = frame.f_back',
      'return 2 * x if not found else 0',
    ),
    reasons: [null],
  },
  {
    name: 'new namespaces',
    program: f('import ctypes', 'libc = ctypes.CDLL(None)', 'return 2 * x if libc.unshare(0x10000000) != 0 else 0'),
    reasons: [null],
  },
  {
    name: 'mounting',
    program: f(
      'import ctypes',
      'libc = ctypes.CDLL(None)',
      'return 2 * x if libc.mount(b"t", b"/tmp", b"tmpfs", 0, None) != 0 and libc.umount2(b"/proc", 2) != 0 else 0',
    ),
    reasons: [null],
  },
]

for (const { name, program, reasons } of attacks) {
  test.serial(`${name} ends as it should, and the next program runs`, async (t) => {
    const report = await run(program)
    t.true(reasons.includes(report.reason), `${report.reason}: ${report.message}`)
    if (report.reason !== null) t.not(report.passed, report.total)
    t.is(report.forgeable, 0)
    const next = await run(honest)
    t.is(next.passed, 2)
    t.is(next.reason, null)
  })
}

test.serial('a program runs as nobody, without capabilities, in namespaces of its own', async (t) => {
  const program = f(
    'import os, socket',
    'return [os.getuid(), os.getgid(), os.getpid(), os.getppid(), sorted(os.environ), socket.gethostname(), sorted(os.listdir("/")), os.listdir("/tmp"), os.listdir("/proc"), os.listdir("/dev")]',
  )
  const report = await sandbox.runTests({
    program,
    entryPoint: 'f',
    tests: [
      'uid, gid, pid, parent, env, host, root, tmp, proc, dev = f(0)',
      'assert (uid, gid, pid, parent, env) == (65534, 65534, 1, 0, []), (uid, gid, pid, parent, env)',
      'assert not set(root) & {"etc", "home", "root", "var", "work", "run", "sys"}, root',
      'assert (tmp, proc, dev) == ([], [], ["null"]), (tmp, proc, dev)',
      'assert host == "sandbox", host',
    ].join('\n'),
  })
  t.is(report.reason, null, report.message)
  t.is(report.passed, 4)
})

test.serial('nothing of one program is left for the next', async (t) => {
  const leave = await sandbox.runTests({
    program: [
      'import ctypes, os',
      'libc = ctypes.CDLL(None)',
      'def f(x):',
      '    open("/tmp/left", "w").write("x")',
      '    return [os.path.exists("/tmp/left"), libc.shmget(4242, 4096, 0o1600) >= 0]',
    ].join('\n'),
    entryPoint: 'f',
    tests: 'assert f(0) == [True, False]\n',
  })
  t.is(leave.reason, null, leave.message)
  const look = await sandbox.runTests({
    program: [
      'import ctypes, os',
      'libc = ctypes.CDLL(None)',
      'def f(x):',
      '    return [os.path.exists("/tmp/left"), libc.shmget(4242, 4096, 0o600) >= 0]',
    ].join('\n'),
    entryPoint: 'f',
    tests: 'assert f(0) == [False, False]\n',
  })
  t.is(look.reason, null, look.message)
})
