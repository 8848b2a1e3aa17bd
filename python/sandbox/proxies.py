"""What stands in the judge for the functions and iterators of the program: using one asks the runner."""
from sandbox import wire


class Function:
    """A function of the program; calling it asks the runner."""

    def __init__(self, runner, target, handle=None):
        self._runner = runner
        self._target = target
        self.handle = handle
        self.__name__ = target.get("name", "function")

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


def handed_back(value, _refer):
    """What the program has given away before, when it is given back."""
    if isinstance(value, Function) and value.handle is None:
        return ["global", value.__name__]
    return ["handle", value.handle] if isinstance(value, (Function, Iterator, wire.Opaque)) else None
