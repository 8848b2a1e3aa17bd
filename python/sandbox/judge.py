"""The trusted side of one request: reads both texts, then evaluates tests, asking the untrusted runner only for calls.

A judge serves a single request and is thrown away, since test code of a data file runs in it. What it says before that is taken
as it is; what it says afterwards is a claim of the test file about its own problem, and reaches no other. The runner is never a
child of the judge, so that tests and expected values are not in a runner's memory.
"""
import gc
import os
import random
import socket
import traceback

from sandbox import isolation, wire
from sandbox.handle import Runner

JUDGE_EXTRA_BYTES = 512 << 20  # beyond the memory of a program: a test holds what it expects, too


class Desk:
    """The way to the desk; see the words in desk.py."""

    def __init__(self, descriptor):
        self.descriptor = descriptor

    def tell(self, word, argument):
        """Says something."""
        wire.write_frame(self.descriptor, [word, argument])

    def hear(self):
        """The next frame of the desk."""
        return wire.read_frame(self.descriptor)

    def finish(self, word, argument):
        """Says the last thing and ends this process."""
        self.tell(word, argument)
        os._exit(0)


def main(descriptor, channel, output, stat, config, actions):
    """Answers one request. Never returns.

    `actions` are what a request may ask for, by name: functions of the request, its runner, and `static`, which is to be called
    with the reply so far before the first test runs. Once it was, what an action returns are the fields that tests fill in.
    """
    try:
        isolation.name_process("judge")
        if hasattr(os, "setsid"):
            os.setsid()
        isolation.die_with_parent()
        isolation.silence([0, 1, 2])
        isolation.close_others({0, 1, 2, descriptor, channel, output, stat})
        desk = Desk(descriptor)
        if config["mode"] == "bubblewrap":
            isolation.settle(config["fileBytes"])
            isolation.drop_capabilities()
            config["signals"].enforce()
        isolation.limit_process(config["memoryBytes"] + JUDGE_EXTRA_BYTES, config["fileBytes"], 1)
        os.umask(0o077)
        os.chdir("/tmp")
        gc.enable()
        runner = Runner(config, socket.socket(fileno=channel), output, stat, desk)
        request = desk.hear()
        if request is None:
            os._exit(0)
        isolation.limit_cpu(request["limits"]["programCpuSeconds"])
        random.seed(0)
        desk.finish(*answer(request, runner, actions, lambda reply: desk.tell("static", reply)))
    except BaseException:
        pass  # there is nobody to tell
    finally:
        os._exit(1)


def answer(request, runner, actions, static):
    """The last word on a request; what goes wrong because of the program's text is a reason, anything else a mistake here."""
    try:
        runner.begin(request["limits"])
        return "done", actions[request["action"]](request, runner, static)
    except MemoryError:
        return "died", "memory"
    except RecursionError:
        return "died", "syntax"
    except BaseException:
        return "bug", traceback.format_exc()
