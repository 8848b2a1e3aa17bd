"""The trusted side: evaluates tests, and asks the untrusted runner only for calls of the program's functions.

One judge serves one request. It starts its runner before it reads the request, so that tests and expected values are
never in the runner's memory.
"""
import builtins
import json
import os
import select
import signal
import socket
import time
import traceback

import asserts
import isolation
import runner as runner_module
import wire
from asserts import CallFailed, NeedsOneProcess, Stop

JUDGE_EXTRA_BYTES = 512 << 20
_GRACE = 0.25  # CPU seconds the program has to notice its time limit by itself
_POLL_MS = 20


class TestTimeout(CallFailed):
    """A call used up its CPU time; the program goes on."""

    reason = "timeout"


class OutOfMemory(CallFailed, MemoryError):
    """A call ran out of memory."""

    reason = "memory"


_failure_classes = {"MemoryError": OutOfMemory}


def failure(kind, text):
    """An exception of the builtin class `kind` that is also a `CallFailed`, so that tests can catch it by its class."""
    if kind not in _failure_classes:
        base = getattr(builtins, kind, Exception)
        if not (isinstance(base, type) and issubclass(base, Exception)):
            base = Exception
        try:
            made = type(base.__name__, (CallFailed, base), {"__str__": lambda self: str(self.args[0])})
            made("x")
        except TypeError:
            made = type(base.__name__, (CallFailed,), {})
        _failure_classes[kind] = made
    return _failure_classes[kind](text)


class Runner:
    """The judge's handle of the untrusted process."""

    def __init__(self, config):
        self.config = config
        self.written = 0
        self.output_open = True
        self.dead = None
        self.limits = {}
        self.remaining = None
        ours, theirs = socket.socketpair()
        output, theirs_output = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            runner_module.main(theirs.fileno(), theirs_output, config)
        theirs.close()
        os.close(theirs_output)
        self.socket = ours
        self.output = output
        ours.setblocking(False)
        os.set_blocking(output, False)
        # The process clock of another process (man 2 clock_getres: pid -> clock id).
        self.clock = (~self.pid << 3) | 2
        self.poll = select.poll()
        self.poll.register(output, select.POLLIN)

    def cpu(self):
        try:
            return time.clock_gettime(self.clock)
        except OSError:
            return 0.0

    def stop(self):
        """Kills the runner and returns its wait status."""
        if self.pid is None:
            return None
        try:
            if self.config["mode"] == "process":
                os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass
        pid, self.pid = self.pid, None
        os.kill(pid, signal.SIGKILL)
        return os.waitpid(pid, 0)[1]

    def die(self, reason, message):
        """Ends the runner for good; every later request fails in the same way."""
        if self.dead is None:
            self.dead = Stop(reason, message)
        self.stop()
        raise self.dead

    def gone(self):
        """The runner closed its end: finds out why."""
        deadline = time.monotonic() + 0.5
        status = 0
        while time.monotonic() < deadline:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if pid:
                self.pid = None
                break
            time.sleep(0.001)
        else:
            self.die("exit", "the program closed its channel")
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number in (signal.SIGXCPU, signal.SIGKILL):
                if used.ru_utime + used.ru_stime > self.limits["programCpuSeconds"] - 0.5:
                    self.die("timeout", "CPU time limit of the whole program")
                self.die("memory", "killed by the system, which was probably short of memory")
            self.die("crash", f"the program was ended by {signal.Signals(number).name}")
        code = os.WEXITSTATUS(status)
        if code == 78:
            self.die("memory", "out of memory")
        self.die("exit", f"the program ended itself (exit code {code})")

    def drain(self):
        """Counts what the program printed."""
        while True:
            try:
                data = os.read(self.output, 65536)
            except BlockingIOError:
                return
            if not data:
                if self.output_open:
                    self.poll.unregister(self.output)
                    self.output_open = False
                return
            self.written += len(data)
            if self.written > self.config["outputBytes"]:
                self.die("output", f"more than {self.config['outputBytes']} bytes of output")

    def ask(self, message, seconds, at_most=None):
        """Sends a request and waits for its answer: a status and a value. Raises `Stop` when the program is over.

        `seconds` is the CPU time the runner keeps to by itself, `at_most` (else the same) what it is held to.
        """
        if self.dead is not None:
            raise self.dead
        nonce = os.urandom(8).hex()
        pending = memoryview(wire.pack({**message, "nonce": nonce, "seconds": seconds}))
        started = self.cpu()
        seconds = at_most or seconds
        wall = time.monotonic() + max(4 * seconds, 5)
        received = bytearray()
        size = None
        while size is None or len(received) < size:
            self.poll.register(self.socket, select.POLLIN | (select.POLLOUT if pending else 0))
            for descriptor, _event in self.poll.poll(_POLL_MS):
                if descriptor == self.output:
                    self.drain()
                    continue
                try:
                    if pending:
                        pending = pending[self.socket.send(pending) :]
                    else:
                        data = self.socket.recv(1 << 20)
                        if not data:
                            self.drain()
                            self.gone()
                        received += data
                except BlockingIOError:
                    pass
                except OSError:
                    self.gone()
            if size is None and len(received) >= 4:
                size = 4 + int.from_bytes(received[:4], "big")
                if size > wire.MAX_FRAME:
                    self.die("output", "a result of more than 16 MiB")
            if self.cpu() - started > seconds + _GRACE:
                self.die("timeout", "CPU time limit, and the program did not stop")
            if time.monotonic() > wall:
                self.die("timeout", "wall time limit: the program waits for something")
        self.drain()
        if pending or len(received) != size:
            self.die("protocol", "an answer that nobody asked for")
        try:
            answer = json.loads(received[4:])
            if type(answer) is not list or len(answer) != 3 or answer[0] != nonce:
                raise ValueError
        except (ValueError, RecursionError):
            self.die("protocol", "an answer that nobody asked for")
        if self.remaining is not None:
            self.remaining = max(0.0, self.remaining - (self.cpu() - started))
        return answer[1], answer[2]

    # What the judge asks for.

    def begin(self, limits):
        self.limits = limits

    def renew(self):
        """Starts a new CPU budget: that of one test."""
        self.remaining = self.limits["cpuSeconds"]

    def load(self, source, preset=(), bare=False, catchable=False):
        """Loads the program; returns its global names with their kind. Raises `Stop` if it cannot be loaded."""
        message = {"action": "load", "source": source, "preset": list(preset), "bare": bare, "catchable": catchable}
        message["totalSeconds"] = self.limits["programCpuSeconds"]
        status, value = self.ask(message, self.limits["cpuSeconds"])
        if status == "ok" and type(value) is dict:
            return value
        if status == "raised" and type(value) is list:
            self.die("memory" if value[0] == "MemoryError" else "exception", "while loading: " + str(value[1])[:300])
        if status in ("syntax", "timeout", "exit"):
            self.die(status, "while loading" + (f": {value}" if type(value) is str else ""))
        self.die("protocol", "a wrong answer while loading")

    def call(self, target, arguments, keywords, what="call"):
        """Calls a function of the program (or takes the next element of an iterator) with plain data."""
        handed = lambda value, refer: ["handle", value.handle] if isinstance(value, (Function, Iterator)) else None
        known = []
        try:
            graph = wire.encode([list(arguments), keywords], (), handed, known)
        except (wire.NotPlain, RecursionError) as error:
            raise NeedsOneProcess(str(error)) from None
        seconds = self.limits["cpuSeconds"] if self.remaining is None else self.remaining
        status, value = self.ask({"action": "call", "what": what, **target, "graph": graph}, seconds)
        try:
            if status == "ok":
                return wire.decode(value, known, self.foreign)[0][0]
            if status == "stop" and what == "next":
                raise StopIteration
            if status in ("raised", "timeout", "exit"):
                if value["graph"]:
                    wire.decode(value["graph"], known, self.foreign)
                if status == "raised":
                    kind, text = value["error"]
                    raise failure(str(kind), str(text)[:300])
        except (wire.BadFrame, RecursionError, TypeError, KeyError):
            self.die("protocol", "a result that is not a value")
        if status == "timeout":
            raise TestTimeout("CPU time limit")
        if status == "exit":
            self.die("exit", "the program called sys.exit")
        self.die("protocol", "a result that is not a value")

    def foreign(self, kind, items):
        if kind == "function":
            return Function(self, {"handle": int(items[0])}, int(items[0]))
        if kind == "iterator":
            return Iterator(self, int(items[0]))
        if kind == "opaque":
            return wire.Opaque(str(items[0])[:80])
        return None

    def fetch(self, name):
        """A global constant of the program, or None in a list's place if it is no plain data."""
        status, value = self.ask({"action": "fetch", "name": name}, self.limits["cpuSeconds"])
        try:
            if status == "ok":
                value = wire.decode(value, (), lambda kind, items: None)[0]
                return value
        except wire.BadFrame:
            pass
        return None

    def tests(self, entry_point, source, lines, count):
        """Has tests run beside the program; returns their outcomes as the program claims them."""
        message = {"action": "tests", "entryPoint": entry_point, "source": source, "lines": lines, "count": count}
        message["maxTimeouts"] = self.limits["maxTimeouts"]
        status, value = self.ask(message, self.limits["cpuSeconds"], self.limits["programCpuSeconds"])
        if status != "ok" or type(value) is not dict or len(value.get("outcomes", ())) != count:
            self.die("protocol", "a wrong answer to tests")
        return value


class Function:
    """A function of the program; calling it asks the runner."""

    def __init__(self, runner, target, handle=None):
        self._runner = runner
        self._target = target
        self.handle = handle

    def __call__(self, *arguments, **keywords):
        return self._runner.call(self._target, arguments, keywords)


class Iterator:
    """An iterator or generator of the program; each element is asked for."""

    def __init__(self, runner, handle):
        self._runner = runner
        self.handle = handle

    def __iter__(self):
        return self

    def __next__(self):
        return self._runner.call({"handle": self.handle}, (), {}, "next")


def launch(config):
    """Isolates this process and starts its runner. Raises OSError where namespaces are forbidden."""
    if config["mode"] == "bubblewrap":
        isolation.enter_namespaces(config["fileBytes"])
    runner = Runner(config)
    if config["mode"] == "bubblewrap":
        isolation.drop_capabilities()
    isolation.hide_memory()
    isolation.limit_judge(config["memoryBytes"] + JUDGE_EXTRA_BYTES)
    return runner


def main(config, status):
    """Serves one request and ends the process; says on `status` how far it is (one letter a step). Never returns."""
    code = 0
    runner = None
    try:
        try:
            runner = launch(config)
        except OSError as error:
            os.write(status, b"E" + str(error).encode())
            os._exit(0)
        os.write(status, b"R")
        request = wire.read_frame(0)
        if request is None:
            os.write(status, b"Q")
            os._exit(0)
        os.write(status, b"P")
        # Unhandled, this ends the process whatever it is doing; the server then reports a timeout.
        signal.setitimer(signal.ITIMER_REAL, request["limits"]["wallSeconds"])
        reply = answer(request, runner)
        signal.setitimer(signal.ITIMER_REAL, 0)
        runner.stop()
        os.write(status, b"W")
        wire.write_frame(1, reply)
        os.write(status, b"D")
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        if runner:
            runner.stop()
        os._exit(code)


def answer(request, runner):
    """The reply to one request; what goes wrong here because of the program's text is a reason, anything else a bug."""
    import actions

    try:
        runner.begin(request["limits"])
        return {"reply": actions.by_name[request["action"]](request, runner)}
    except MemoryError:
        return {"died": "memory"}
    except RecursionError:
        return {"died": "syntax"}
    except BaseException:
        return {"bug": traceback.format_exc()}
