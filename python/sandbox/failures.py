"""What calls of the program under test raise in the judge: of the class that it raised, and known to come from it."""
import builtins

from sandbox.asserts import CallFailed, ProgramFailed


class TestTimeout(ProgramFailed):
    """A call used up its CPU time; the program goes on. Not caught by `except Exception` of a test: no answer came."""

    reason = "timeout"


class OutOfMemory(CallFailed, MemoryError):
    """A call ran out of memory."""

    reason = "memory"


class Unjudged(CallFailed):
    """What the program gave cannot be judged apart from it, so it has not passed."""

    reason = "assert"


def failure(kind, text):
    """An exception of the builtin class `kind` that is also a `ProgramFailed`, so that tests can catch it by its class."""
    if kind == "MemoryError":
        return OutOfMemory(text)
    base = getattr(builtins, kind, Exception)
    if not (isinstance(base, type) and issubclass(base, BaseException)):
        base = Exception
    own = CallFailed if issubclass(base, Exception) else ProgramFailed
    try:
        made = type(base.__name__, (own, base), {"__str__": lambda self: str(self.args[0])})
        return made(text)
    except TypeError:
        return type(base.__name__, (own,), {})(text)
