"""First code of a sandbox worker, given to the interpreter with `-c`: takes the other modules from standard input.

Sources come over the pipe because the sandboxed user may not be able to read the folder this package lies in.
"""
import sys

sys.path[:] = [entry for entry in sys.path if entry]  # not the working folder: whoever writes there would run code here

import os

# Whoever started this may have left descriptors open, with any number; only the three standard ones are agreed on.
for number in map(int, os.listdir("/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd")):
    if number > 2:
        try:
            os.close(number)
        except OSError:
            pass  # the one of the list itself

import json
from importlib import import_module
from importlib.machinery import ModuleSpec


class Sent:
    """Finds modules among sources by path, `sandbox/wire.py` for the module `sandbox.wire`, and runs them."""

    def __init__(self, sources):
        self.sources = sources

    def find_spec(self, name, _path, _target=None):
        """Says where the module's source is; None if it was not sent."""
        for end in (".py", "/__init__.py"):
            origin = name.replace(".", "/") + end
            if origin in self.sources:
                return ModuleSpec(name, self, origin=origin, is_package=end != ".py")
        return None

    def create_module(self, _spec):
        """Leaves it to Python to make the module."""
        return None

    def exec_module(self, module):
        """Runs the source of a module."""
        origin = module.__spec__.origin
        exec(compile(self.sources[origin], f"<magrpo>/{origin}", "exec"), module.__dict__)


def boot():
    """Reads the first frame, loads the module it calls `main` with all that it imports, and starts it. Never returns."""

    def exactly(count):
        data = b""
        while len(data) < count:
            piece = os.read(0, count - len(data))
            if not piece:
                sys.exit(0)
            data += piece
        return data

    start = json.loads(exactly(int.from_bytes(exactly(4), "big")))
    sent = Sent(start["modules"])
    sys.meta_path.insert(0, sent)
    first = import_module(start["main"])
    sys.meta_path.remove(sent)  # all are loaded: programs import as in any other interpreter
    first.main(start["config"])


boot()
