"""The trusted side: evaluates tests, and asks the untrusted runner only for calls of the program's functions.

A judge serves one request after the other, each with a runner of its own, which the fork server starts: never a child of the
judge, so that tests and expected values are not in a runner's memory.
"""
import builtins
import gc
import json
import marshal
import os
import select
import signal
import socket
import sys
import time
import traceback

from sandbox import isolation, runner as runner_module, wire
from sandbox.asserts import CallFailed, NeedsOneProcess, Stop
from sandbox.proxies import Function, Iterator, handed_back

JUDGE_EXTRA_BYTES = 512 << 20
REQUESTS_A_JUDGE = 1000  # then a fresh one takes over, so that nothing piles up in it
_GRACE = 0.25  # seconds the program has to notice its time limit by itself
_POLL_MS = 20
_WAITS = "time limit: the program waits for something"


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

    def __init__(self, config, control):
        self.config = config
        self.control = control
        self.is_used = False
        self.written = 0
        self.output_open = True
        self.dead = None
        self.limits = {}
        self.remaining = None
        self.slept = 0.0
        self.was_interrupted = False
        self.pid = None
        ours, theirs = socket.socketpair()
        output, theirs_output = os.pipe()
        socket.send_fds(control, [b"S"], [theirs.fileno(), theirs_output])
        theirs.close()
        os.close(theirs_output)
        self.socket = ours
        self.output = output
        ours.setblocking(False)
        os.set_blocking(output, False)
        self.poll = select.poll()
        self.poll.register(output, select.POLLIN)

    def meet(self):
        """Waits until the runner is ready. Raises OSError if it could not be started or isolated."""
        answer = self.control.recv(256)
        if answer[:1] != b"p":
            raise OSError(answer[1:].decode(errors="replace"))
        self.pid = int(answer[1:])
        # The process clock of another process (how a pid becomes a clock id: linux/posix-timers.h).
        self.clock = (~self.pid << 3) | 2
        self.socket.setblocking(True)
        hello = wire.read_frame(self.socket.fileno())
        self.socket.setblocking(False)
        if hello is None or hello[1] != "ready":
            raise OSError(hello[2] if hello else "the program's process ended before it was ready")

    def cpu(self):
        """CPU seconds the runner has used; 0 once it is gone."""
        try:
            return time.clock_gettime(self.clock)
        except OSError:
            return 0.0

    def is_asleep(self):
        """Whether the program waits for something, and not just for a CPU, which says how busy the machine is."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] in (b"S", b"T")
        except (OSError, IndexError):
            return False  # the wall limit will do

    def interrupt(self):
        """Has the program notice that its time is over, in the way in which it notices the end of its CPU time."""
        try:
            os.kill(self.pid, signal.SIGPROF)
        except OSError:
            pass  # it is held to the limit all the same

    def stop(self):
        """Kills the runner, if it lives."""
        if self.pid is not None:
            self.control.send(b"k%d" % self.pid)
            self.pid = None

    def close(self):
        """Kills the runner and closes the pipes to it."""
        self.stop()
        self.socket.close()
        os.close(self.output)

    def die(self, reason, message):
        """Ends the runner for good; every later request fails in the same way."""
        if self.dead is None:
            self.dead = Stop(reason, message)
        self.stop()
        raise self.dead

    def gone(self):
        """The runner closed its end: finds out why."""
        time.sleep(0.002)  # its end of the socket closes a moment before the process has ended
        self.control.send(b"K%d" % self.pid)
        self.pid = None
        status, used = self.control.recv(64)[1:].split()
        status, used = int(status), float(used)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number in (signal.SIGXCPU, signal.SIGKILL) and used > self.limits["programCpuSeconds"] - 0.5:
                self.die("timeout", "CPU time limit of the whole program")
            if number == signal.SIGKILL:
                self.die("exit", "the program closed its channel or was killed")
            self.die("crash", f"the program was ended by {signal.Signals(number).name}")
        code = os.WEXITSTATUS(status)
        if code == runner_module.OUT_OF_MEMORY:
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
        self.is_used = True
        nonce = os.urandom(8).hex()
        pending = memoryview(wire.pack({**message, "nonce": nonce, "seconds": seconds}))
        started = self.cpu()
        seconds = at_most or seconds
        wall = time.monotonic() + max(10 * seconds, 10)
        nap = Nap(self, seconds)
        self.was_interrupted = False
        received = bytearray()
        size = None
        while size is None or len(received) < size:
            pending = self.exchange(pending, received)
            if size is None and len(received) >= 4:
                size = 4 + int.from_bytes(received[:4], "big")
                if size > wire.MAX_FRAME:
                    self.die("output", "a result of more than 16 MiB")
            if self.cpu() - started > seconds + _GRACE:
                self.die("timeout", "CPU time limit, and the program did not stop")
            nap.look()
            if time.monotonic() > wall:
                self.die("timeout", "wall time limit")
        self.drain()
        answer = None if pending or len(received) != size else answer_in(received, nonce)
        if answer is None:
            self.die("protocol", "an answer that nobody asked for")
        if self.remaining is not None:
            self.remaining = max(0.0, self.remaining - (self.cpu() - started))
        return answer

    def exchange(self, pending, received):
        """Waits for the runner, a moment at most; adds to `received` and returns what of `pending` is still to be sent."""
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
        return pending

    # What the judge asks for.

    def begin(self, limits):
        """Takes over the limits of a request."""
        self.limits = limits

    def renew(self):
        """Starts a new CPU budget: that of one test."""
        self.remaining = self.limits["cpuSeconds"]

    def load(self, source, preset=(), bare=False, catchable=False):
        """Loads the program; returns its global names with their kind. Raises `Stop` if it cannot be loaded."""
        try:
            code = compile(source, "<program>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            self.die("syntax", str(error)[:200])
        message = {"action": "load", "code": marshal.dumps(code).hex(), "preset": list(preset), "bare": bare}
        message |= {"catchable": catchable, "totalSeconds": self.limits["programCpuSeconds"]}
        message["seeded"] = "random" in source
        status, value = self.ask(message, self.limits["cpuSeconds"])
        if status == "ok" and type(value) is dict:
            return value
        if status == "raised" and type(value) is list:
            self.die("memory" if value[0] == "MemoryError" else "exception", "while loading: " + str(value[1])[:300])
        if status in ("timeout", "exit"):
            self.die(status, "while loading")
        self.die("protocol", "a wrong answer while loading")

    def call(self, target, arguments, keywords, what="call"):
        """Calls a function of the program (or takes the next element of an iterator) with plain data."""
        known = []
        try:
            graph = wire.encode([list(arguments), keywords], (), handed_back, known)
        except (wire.NotPlain, RecursionError) as error:
            raise NeedsOneProcess(str(error)) from None
        seconds = self.limits["cpuSeconds"] if self.remaining is None else self.remaining
        status, value = self.ask({"action": "call", "what": what, **target, "graph": graph}, seconds)
        error = None
        try:
            if status == "ok":
                return wire.decode(value, known, self.foreign)[0][0]
            if status in ("raised", "timeout", "exit"):
                if value["graph"]:
                    wire.decode(value["graph"], known, self.foreign)
                if status == "raised":
                    error = failure(str(value["error"][0]), str(value["error"][1])[:300])
        except (wire.BadFrame, RecursionError, TypeError, LookupError):
            self.die("protocol", "a result that is not a value")
        if error is not None:
            raise error
        if status == "stop" and what == "next":
            raise StopIteration
        if status == "timeout":
            raise TestTimeout(_WAITS if self.was_interrupted else "CPU time limit")
        if status == "exit":
            self.die("exit", "the program called sys.exit")
        self.die("protocol", "a result that is not a value")

    def foreign(self, kind, items):
        """What stands here for an object of the program that is no plain data."""
        if kind == "function":
            return Function(self, {"handle": int(items[0])}, int(items[0]))
        if kind == "iterator":
            return Iterator(self, int(items[0]))
        return wire.Opaque(int(items[0]), str(items[1])[:80])

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


def answer_in(frame, nonce):
    """Status and value of the answer in a frame that the program has sent; None if it answers something else."""
    try:
        answer = json.loads(frame[4:])
    except (ValueError, RecursionError):
        return None
    return answer[1:] if type(answer) is list and len(answer) == 3 and answer[0] == nonce else None


class Nap:
    """How long the program has waited during one request, for a sleep or a lock: time in which it uses no CPU.

    Only the time it is seen asleep counts, not that in which it has no CPU, so that verdicts do not depend on how busy the
    machine is. A request may wait as long as it may compute, and a program over all its requests.
    """

    def __init__(self, runner, seconds):
        self.runner = runner
        self.seconds = seconds
        self.slept = 0.0
        self.seen = time.monotonic()
        self.used = runner.cpu()

    def look(self):
        """Counts the time since the last look if the program was asleep; ends it when it has waited too long."""
        now, used = time.monotonic(), self.runner.cpu()
        # A judge that had no CPU itself has not seen what the program did meanwhile.
        passed = min(now - self.seen, 5 * _POLL_MS / 1000)
        is_idle = used - self.used < passed / 4 and self.runner.is_asleep()
        self.seen, self.used = now, used
        if not is_idle:
            return
        self.slept += passed
        self.runner.slept += passed
        if self.slept > self.seconds and not self.runner.was_interrupted:
            self.runner.was_interrupted = True
            self.runner.interrupt()
        if self.slept > self.seconds + _GRACE or self.runner.slept > self.runner.limits["programCpuSeconds"]:
            self.runner.die("timeout", _WAITS)


def main(config, control, actions, is_first):
    """Serves requests from standard input and ends the process, see the letters in server.py. Never returns.

    `actions` are what a request may ask for, by name: functions of the request and its runner.
    """
    try:
        isolation.hide_memory()
        isolation.limit_judge(config["memoryBytes"] + JUDGE_EXTRA_BYTES)
        gc.enable()
        import random  # not earlier: it would seed itself anew in every fork of the server

        runner = None
        for _ in range(REQUESTS_A_JUDGE):
            try:
                # One that has not been asked anything, because the program did not parse, say, is as good as new.
                runner = runner or prepared(config, control, 1 if is_first else 20)
            except OSError as error:
                wire.write_frame(1, {"unavailable": str(error)})
                control.send(b"Q")
                os._exit(0)
            if is_first:
                wire.write_frame(1, {"ready": sys.version.split()[0]})
                is_first = False
            request = wire.read_frame(0)
            if request is None:
                control.send(b"Q")
                os._exit(0)
            control.send(b"P")
            # Unhandled, this ends the process whatever it is doing; the server then reports a timeout.
            signal.setitimer(signal.ITIMER_REAL, request["limits"]["wallSeconds"])
            random.seed(0)
            reply = answer(request, runner, actions)
            signal.setitimer(signal.ITIMER_REAL, 0)
            control.send(b"W")
            wire.write_frame(1, reply)
            control.send(b"D")
            if runner.is_used or runner.dead:
                runner.close()
                runner = None
        control.send(b"R")
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def prepared(config, control, attempts):
    """A runner that is ready. Namespaces can be short for a moment, as they are freed late: then it is tried again."""
    for attempt in range(1, attempts + 1):
        runner = Runner(config, control)
        try:
            runner.meet()
            return runner
        except OSError:
            runner.close()
            if attempt == attempts:
                raise
            time.sleep(0.02 * attempt)


def answer(request, runner, actions):
    """The reply to one request; what goes wrong here because of the program's text is a reason, anything else a bug."""
    try:
        runner.begin(request["limits"])
        return {"reply": actions[request["action"]](request, runner)}
    except MemoryError:
        return {"died": "memory"}
    except RecursionError:
        return {"died": "syntax"}
    except BaseException:
        return {"bug": traceback.format_exc()}
