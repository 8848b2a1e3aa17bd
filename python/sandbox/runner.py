"""The untrusted side: one process that loads one program and answers calls of its functions.

Whatever this process sends is only a claim: the judge reads it as plain data and decides by itself.
"""
import ast
import gc
import json
import marshal
import os
import signal
import sys

from sandbox import asserts, isolation, wire

LOST, OUT_OF_MEMORY, ENDED, BROKEN = 77, 78, 79, 80  # exit codes


class SoftTimeout(BaseException):
    """CPU time is used up."""


class CatchableTimeout(Exception):
    """CPU time is used up, as an exception that `except Exception` of the program can swallow."""


class Program:
    """The loaded program and the objects it has handed out."""

    def __init__(self):
        self.space = {}
        self.handles = []
        self.timeout = SoftTimeout
        self.is_limited = False

    def _expired(self, _number, _frame):
        if self.is_limited:  # not when the judge's signal comes just after the end
            raise self.timeout("time limit")

    def limited(self, seconds, action):
        """Runs `action` with a CPU time limit; returns a status and what belongs to it."""
        try:
            try:
                self.is_limited = True
                signal.setitimer(signal.ITIMER_PROF, max(seconds, 0.01))
                value = action()
            finally:
                self.is_limited = False
                signal.setitimer(signal.ITIMER_PROF, 0)
            return "ok", value
        except (SoftTimeout, CatchableTimeout):
            return "timeout", None
        except SystemExit:
            return "exit", None
        except BaseException as error:
            return "raised", describe(error)

    def foreign(self, value, refer):
        """Objects that are not plain: subclasses of plain ones as these, functions and iterators as handles."""
        for plain in (bool, int, float, str, list, tuple, dict, set, frozenset, bytes):
            if isinstance(value, plain) and type(value) is not plain:
                return ["same", refer(plain(value))]
        if isinstance(value, (type({}.keys()), type({}.values()), type({}.items()))):
            value = iter(value)
        kind = "iterator" if hasattr(value, "__next__") else kind_of(value)
        self.handles.append(value)
        return [kind, len(self.handles) - 1, type(value).__name__[:80]]

    def own(self, kind, items):
        """An object of the program that came back."""
        return self.space[items[0]] if kind == "global" else self.handles[items[0]]

    # What the judge may ask for. Each method returns a status and a value.

    def load(self, message):
        """Runs the top level of the program; its value is the kind of each global name."""
        self.timeout = CatchableTimeout if message["catchable"] else SoftTimeout
        signal.signal(signal.SIGPROF, self._expired)
        if message["totalSeconds"]:
            isolation.limit_cpu(message["totalSeconds"])
        self.space = {name: __import__(name) for name in message["preset"]}
        if not message["bare"]:
            self.space["__name__"] = "program"
        if message["seeded"]:
            __import__("random").seed(0)  # verdicts have to repeat
        code = marshal.loads(bytes.fromhex(message["code"]))
        status, value = self.limited(message["seconds"], lambda: exec(code, self.space))
        if status != "ok":
            return status, value
        return "ok", {name: kind_of(thing) for name, thing in self.space.items() if type(name) is str}

    def call(self, message):
        """Calls a function or takes the next element of an iterator; changed arguments go back with the result."""
        (arguments, keywords), table = wire.decode(message["graph"], (), self.own)
        target = self.space[message["name"]] if "name" in message else self.handles[message["handle"]]
        if message["what"] == "next":
            status, value = self.limited(message["seconds"], lambda: [next(target, table)])
            if status == "ok" and value[0] is table:
                return "stop", None
            value = value[0] if status == "ok" else value
        else:
            status, value = self.limited(message["seconds"], lambda: target(*arguments, **keywords))
        if status == "ok":
            try:
                return self.limited(message["seconds"], lambda: wire.encode([value], table, self.foreign))
            except RecursionError:
                return "raised", ["RecursionError", "the result is nested too deeply"]
        try:
            return status, {"error": value, "graph": wire.encode([None], table, self.foreign)}
        except Exception:
            return status, {"error": value, "graph": None}

    def fetch(self, message):
        """A global constant of the program."""
        return self.limited(message["seconds"], lambda: wire.encode([self.space[message["name"]]], (), self.foreign))

    def tests(self, message):
        """Runs tests here, beside the program: needed where their values are no plain data. The outcome can be forged."""
        renew = lambda: signal.setitimer(signal.ITIMER_PROF, message["seconds"])
        board = asserts.Board(message["count"], message["maxTimeouts"], renew, (SoftTimeout, CatchableTimeout))
        space = self.space
        self.is_limited = True
        if message["lines"]:
            asserts.run_lines(message["lines"], space, board)
        else:
            asserts.run_module(ast.parse(message["source"]), space, space.get(message["entryPoint"]), board)
        self.is_limited = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        return "ok", board.report()


def kind_of(value):
    """What a global name of the program stands for: a function, a module (with its name), or something else."""
    if isinstance(value, type(sys)):
        return f"module {value.__name__}"
    return "function" if callable(value) and not isinstance(value, type) else "other"


def describe(error):
    """Class and message of an exception, as far as they can be had."""
    kind = type(error)
    while kind.__module__ != "builtins":
        kind = kind.__mro__[1]
    try:
        text = str(error)[:300]
    except BaseException:
        text = ""
    return [kind.__name__, f"{type(error).__name__}: {text}" if text else type(error).__name__]


def converse(receive, send):
    """Answers what the judge asks for, until there is nothing more."""
    program = Program()
    actions = {"load": program.load, "call": program.call, "fetch": program.fetch, "tests": program.tests}
    while (message := receive()) is not None:
        status, value = actions[message["action"]](message)
        try:
            sys.stdout.flush()
        except Exception:
            pass  # the program's own stream
        send([message["nonce"], status, value])


def rehearse():
    """Runs through a conversation in the server, so that the interpreter has adapted its code before it is forked."""
    code = marshal.dumps(compile("def f(x):\n    return x\n", "<program>", "exec")).hex()
    load = {"action": "load", "code": code, "preset": [], "bare": False, "catchable": False, "seeded": False}
    call = {"action": "call", "name": "f", "what": "call", "graph": wire.encode([[[1, (2, "a")]], {}])}
    common = {"nonce": "0", "seconds": 1.0, "totalSeconds": None}
    for _ in range(50):
        messages = [wire.pack({**load, **common}), wire.pack({**call, **common})]
        frames = iter([json.loads(message[4:]) for message in messages])
        converse(lambda: next(frames, None), wire.pack)


def main(channel, output, config):
    """Becomes the program's process: only the channel and the output pipe stay open. Never returns."""
    try:
        os.setsid()
        isolation.die_with_parent()
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(channel, 250)  # out of the way of the numbers that are closed
        os.closerange(3, 250)
        channel = 250
        try:
            if config["mode"] == "bubblewrap":
                isolation.settle(config["fileBytes"])
                isolation.drop_capabilities()
                config["signals"].enforce()
            isolation.limit_program(config["memoryBytes"], config["fileBytes"], config["processes"])
            os.umask(0o077)
            os.chdir("/tmp")
        except OSError as error:
            wire.write_frame(channel, ["", "failed", str(error)])
            os._exit(BROKEN)
        gc.enable()
        wire.write_frame(channel, ["", "ready", None])
        converse(lambda: wire.read_frame(channel), lambda answer: wire.write_frame(channel, answer))
        os._exit(LOST)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except SystemExit:
        os._exit(ENDED)
    except BaseException:
        os._exit(BROKEN)
