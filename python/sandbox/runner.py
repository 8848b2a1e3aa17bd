"""The untrusted side: one process that loads one program and answers calls of its functions.

Whatever this process sends is only a claim: the judge reads it as plain data and decides by itself.
"""
import ast
import gc
import marshal
import os
import signal
import sys

from sandbox import asserts, isolation, wire

_CHANNEL = 250  # the descriptor of the conversation, out of the way of those that a program opens
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
        self.numbers = {}  # of the handles, by id; they are kept alive
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
        """Objects that are not plain: subclasses of plain ones as these, everything else as a numbered handle."""
        cls = type(value)
        plain = plain_class(cls)
        if plain is not None:
            return ["same", refer(plain(value))]
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.handles)
            self.handles.append(value)
        is_ordinary = all(getattr(cls, name, None) is getattr(object, name, None) for name in _OWN_SAY)
        kind = "iterator" if hasattr(cls, "__next__") else "view" if isinstance(value, _VIEWS) else kind_of(value)
        return [kind, number, cls.__name__[:80], is_ordinary]

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
        """Calls a function, takes the next element of an iterator, or asks an object for its truth or text.

        Changed arguments go back with the result.
        """
        (arguments, keywords), table = wire.decode(message["graph"], (), self.own)
        target = self.space[message["name"]] if "name" in message else self.handles[message["handle"]]
        if message["what"] in _QUESTIONS:
            arguments, target = [target], _QUESTIONS[message["what"]]
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
        """A global of the program."""
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


_QUESTIONS = {"truth": bool, "repr": repr, "str": str, "iter": iter, "len": len}
_PLAIN = (bool, int, float, str, list, tuple, dict, set, frozenset, bytes)
_VIEWS = (type({}.keys()), type({}.values()), type({}.items()))
# By these a class has a say of its own in what its objects equal and whether they are true.
_OWN_SAY = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__", "__bool__", "__len__")
_OF_CONTAINERS = (*_OWN_SAY, "__iter__", "__getitem__", "__contains__", "__getattribute__")


def plain_class(cls):
    """The class of plain data that objects of a subclass can pass for; None if they would not behave as it does."""
    for place, base in enumerate(cls.__mro__):
        if base in _PLAIN:
            return base if place > 0 else None
        if base.__module__ not in ("collections", "enum") and any(name in vars(base) for name in _OF_CONTAINERS):
            return None
    return None


def kind_of(value):
    """What a global name of the program stands for: a function, a class, a module (with its name), or something else."""
    if isinstance(value, type(sys)):
        return f"module {value.__name__}"
    return "class" if isinstance(value, type) else "function" if callable(value) else "other"


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


def converse(receive, send, program):
    """Answers what the judge asks for, until there is nothing more."""
    actions = {"load": program.load, "call": program.call, "fetch": program.fetch, "tests": program.tests}
    while (message := receive()) is not None:
        status, value = actions[message["action"]](message)
        try:
            sys.stdout.flush()
        except Exception:
            pass  # the program's own stream
        send([message["nonce"], status, value])


def main(channel, output, config):
    """Becomes the program's process: only the channel and the output pipe stay open. Never returns."""
    try:
        os.setsid()
        isolation.name_process("program")
        isolation.die_with_parent()
        isolation.silence([0])
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.dup2(channel, _CHANNEL)
        channel = _CHANNEL
        isolation.close_others({0, 1, 2, channel})
        try:
            if config["mode"] == "bubblewrap":
                isolation.settle(config["fileBytes"])
                isolation.drop_capabilities()
                config["signals"].enforce()
            isolation.limit_process(config["memoryBytes"], config["fileBytes"], config["processes"])
            os.umask(0o077)
            os.chdir("/tmp")
        except OSError as error:
            wire.write_frame(channel, ["", "failed", str(error)])
            os._exit(BROKEN)
        gc.enable()
        wire.write_frame(channel, ["", "ready", None])
        converse(lambda: wire.read_frame(channel), lambda answer: wire.write_frame(channel, answer), Program())
        os._exit(LOST)
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except SystemExit:
        os._exit(ENDED)
    except BaseException:
        os._exit(BROKEN)
