"""The judge's handle of the runner: asks it for calls of the program's functions, and holds it to its limits."""
import marshal
import os
import select
import signal
import time

from sandbox import failures, isolation, runner as runner_module, wire
from sandbox.asserts import NeedsOneProcess, Stop
from sandbox.proxies import Foreign, Function, Iterator, View, handed_back

_GRACE = 0.25  # seconds the program has to notice its time limit by itself
_POLL_MS = 20
_WAITS = "time limit: the program waits for something"
_TICK = 1 / os.sysconf("SC_CLK_TCK")


class Runner:
    """The judge's handle of the untrusted process."""

    def __init__(self, config, channel, output, stat, desk):
        self.config = config
        self.socket = channel
        self.output = output
        self.stat = stat
        self.desk = desk
        self.written = 0
        self.output_open = True
        self.dead = None
        self.limits = {}
        self.remaining = None
        self.slept = 0.0
        self.was_interrupted = False
        self.calls = 0  # of the program's code; what an assert is known by to be a test of it
        self.foreigners = {}  # what stands for objects of the program, by their numbers there
        self.socket.setblocking(False)
        os.set_blocking(output, False)
        self.poll = select.poll()
        self.poll.register(output, select.POLLIN)

    def state(self):
        """What /proc says of the runner: its state and the CPU seconds it has used; nothing once it is gone."""
        try:
            fields = os.pread(self.stat, 1024, 0).rpartition(b")")[2].split()
            return fields[0], (int(fields[11]) + int(fields[12])) * _TICK
        except (OSError, IndexError, ValueError):
            return b"", 0.0

    def cpu(self):
        """CPU seconds the runner has used; 0 once it is gone."""
        return self.state()[1]

    def die(self, reason, message):
        """Ends the runner for good; every later request fails in the same way."""
        if self.dead is None:
            self.dead = Stop(reason, message)
        raise self.dead

    def gone(self):
        """The runner closed its end: finds out why."""
        time.sleep(0.02)  # its end of the socket closes a moment before the process has ended
        self.desk.tell("end", None)
        status, used, has_ended = self.desk.hear()
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if isolation.ended_by_cpu(status, used, self.limits["programCpuSeconds"]):
                self.die("timeout", "CPU time limit of the whole program")
            if number == signal.SIGKILL and has_ended:
                self.desk.finish("outside", None)  # no program can send itself this signal
            if number == signal.SIGKILL:
                self.die("exit", "the program closed its channel")
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
        nonce = os.urandom(8).hex()
        pending = memoryview(wire.pack({**message, "nonce": nonce, "seconds": seconds}))
        seconds = at_most or seconds
        wall = time.monotonic() + max(10 * seconds, 10)
        nap = Nap(self, seconds)
        started = nap.used
        self.was_interrupted = False
        received = bytearray()
        size = None
        while size is None or len(received) < size:
            pending = self.exchange(pending, received)
            if size is None and len(received) >= 4:
                size = 4 + int.from_bytes(received[:4], "big")
                if size > wire.MAX_FRAME:
                    self.die("output", "a result of more than 16 MiB")
            state, used = self.state()
            if used - started > seconds + _GRACE:
                self.die("timeout", "CPU time limit, and the program did not stop")
            nap.look(state, used)
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
        except wire.NotPlain as error:
            raise NeedsOneProcess(str(error)) from None  # the test's own: what comes from the program can go back to it
        except RecursionError:
            raise failures.Unjudged("an argument is nested too deeply to be handed over") from None
        seconds = self.limits["cpuSeconds"] if self.remaining is None else self.remaining
        self.calls += 1
        status, value = self.ask({"action": "call", "what": what, **target, "graph": graph}, seconds)
        error = None
        try:
            if status == "ok":
                return wire.decode(value, known, self.foreign)[0][0]
            if status in ("raised", "timeout", "exit"):
                if value["graph"]:
                    wire.decode(value["graph"], known, self.foreign)
                if status == "raised":
                    error = failures.failure(str(value["error"][0]), str(value["error"][1])[:300])
        except (wire.BadFrame, RecursionError, TypeError, LookupError):
            self.die("protocol", "a result that is not a value")
        if error is not None:
            raise error
        if status == "stop" and what == "next":
            raise StopIteration
        if status == "timeout":
            raise failures.TestTimeout(_WAITS if self.was_interrupted else "CPU time limit")
        if status == "exit":
            self.die("exit", "the program called sys.exit")
        self.die("protocol", "a result that is not a value")

    def foreign(self, kind, items):
        """What stands here for an object of the program that is no plain data: for the same object always the same."""
        number, name, is_ordinary = int(items[0]), str(items[1])[:80], bool(items[2])
        if number not in self.foreigners:
            made = {"function": Function, "iterator": Iterator, "view": View}.get(kind, Foreign)
            self.foreigners[number] = made(self, {"handle": number}, name, is_ordinary)
        return self.foreigners[number]

    def fetch(self, name):
        """A global of the program, as plain data as far as that goes."""
        status, value = self.ask({"action": "fetch", "name": name}, self.limits["cpuSeconds"])
        try:
            if status == "ok":
                return wire.decode(value, (), self.foreign)[0][0]
        except (wire.BadFrame, RecursionError, TypeError, LookupError, ValueError):
            pass
        self.die("exception", f"the global {name} of the program cannot be read")

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
        answer = wire.from_json(frame[4:])
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

    def look(self, state, used):
        """Counts the time since the last look if the program was asleep; ends it when it has waited too long.

        `state` and `used` are the runner's. Asleep is not the same as waiting for a CPU, which says how busy the machine is.
        """
        now = time.monotonic()
        if now - self.seen < _POLL_MS / 1000:
            return  # shorter than the clock ticks in which CPU time is told
        # A judge that had no CPU itself has not seen what the program did meanwhile.
        passed = min(now - self.seen, 5 * _POLL_MS / 1000)
        is_idle = used - self.used < passed / 4 and state in (b"S", b"T")
        self.seen, self.used = now, used
        if not is_idle:
            return
        self.slept += passed
        self.runner.slept += passed
        if self.slept > self.seconds and not self.runner.was_interrupted:
            self.runner.was_interrupted = True
            self.runner.desk.tell("interrupt", None)
        if self.slept > self.seconds + _GRACE or self.runner.slept > self.runner.limits["programCpuSeconds"]:
            self.runner.die("timeout", _WAITS)
