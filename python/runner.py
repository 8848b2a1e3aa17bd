"""The untrusted side: one process that loads one program and answers calls of its functions.

Whatever this process sends is only a claim: the judge reads it as plain data and decides by itself.
"""
import ast
import gc
import os
import random
import signal
import sys
import types

import isolation
import wire

LOST = 77  # exit code: the judge has gone


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

    def _expired(self, _number, _frame):
        raise self.timeout("CPU time limit")

    def limited(self, seconds, action):
        """Runs `action` with a CPU time limit; returns a status and what belongs to it."""
        try:
            try:
                signal.setitimer(signal.ITIMER_PROF, max(seconds, 0.01))
                value = action()
            finally:
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
        kind = "function" if callable(value) and not isinstance(value, type) else "iterator" if hasattr(value, "__next__") else None
        if kind is None:
            return ["opaque", type(value).__name__[:80]]
        self.handles.append(value)
        return [kind, len(self.handles) - 1]

    def own(self, kind, items):
        """A handle that came back."""
        return self.handles[items[0]] if kind == "handle" else None

    # What the judge may ask for. Each method returns a status and a value.

    def load(self, message):
        self.timeout = CatchableTimeout if message["catchable"] else SoftTimeout
        signal.signal(signal.SIGPROF, self._expired)
        isolation.limit_cpu(message["totalSeconds"])
        self.space = dict(message["preset"] and {name: __import__(name) for name in message["preset"]})
        if not message["bare"]:
            self.space["__name__"] = "program"
        module = types.ModuleType("program")
        space = self.space

        def run():
            try:
                code = compile(message["source"], "<program>", "exec", dont_inherit=True)
            except (SyntaxError, ValueError) as error:
                return ["syntax", str(error)[:200]]
            module.__dict__.update(space)
            exec(code, space)
            return None

        status, value = self.limited(message["seconds"], run)
        if status == "ok":
            if value is not None:
                return "syntax", value[1]
            kinds = {name: "function" if callable(thing) and not isinstance(thing, type) else "other" for name, thing in space.items()}
            return "ok", {name: kind for name, kind in kinds.items() if isinstance(name, str)}
        return status, value

    def call(self, message):
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
        asserts = sys.modules["asserts"]
        renew = lambda: signal.setitimer(signal.ITIMER_PROF, message["seconds"])
        board = asserts.Board(message["count"], message["maxTimeouts"], renew, (SoftTimeout, CatchableTimeout))
        space = self.space
        if message["lines"]:
            asserts.run_lines(message["lines"], space, board)
        else:
            asserts.run_module(ast.parse(message["source"]), space, space.get(message["entryPoint"]), board)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return "ok", board.report()


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


def main(channel, output, config):
    """Becomes the program's process: only the channel and the output pipe stay open. Never returns."""
    try:
        os.setsid()
        isolation.die_with_parent()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        # Out of the way of the numbers that are reused.
        high = os.dup2(channel, 250)
        os.closerange(3, 250)
        channel = os.dup2(high, 3)
        os.close(high)
        os.closerange(4, 256)
        os.umask(0o077)
        os.chdir("/tmp")
        if config["mode"] == "bubblewrap":
            isolation.drop_capabilities()
        isolation.limit_program(config["memoryBytes"], config["fileBytes"], config["processes"])
        gc.enable()
        random.seed(0)
        program = Program()
        actions = {"load": program.load, "call": program.call, "fetch": program.fetch, "tests": program.tests}
        while True:
            message = wire.read_frame(channel)
            if message is None:
                os._exit(LOST)
            status, value = actions[message["action"]](message)
            try:
                sys.stdout.flush()
            except Exception:
                pass  # the program's own stream
            wire.write_frame(channel, [message["nonce"], status, value])
    except MemoryError:
        os._exit(78)
    except SystemExit:
        os._exit(79)
    except BaseException:
        os._exit(80)
