"""What stands in the judge for objects of the program that are no plain data: using one asks the runner."""
from sandbox import failures


class Foreign:
    """An object of the program: equal to itself, and the object again when the program is given it back.

    It is `ordinary` if its class compares and hashes by identity and has no truth of its own. Of any other the program says by its
    own code what it equals, which decides no test; its truth and its text are the program's, as they are of a value it returns.
    """

    def __init__(self, runner, target, kind, is_ordinary):
        self._runner = runner
        self.target = target
        self._kind = kind
        self._is_ordinary = is_ordinary

    def _refuse(self, *_others):
        raise failures.Unjudged(f"an object of class {self._kind} decides by itself what it equals")

    def __eq__(self, other):
        if self is other:
            return True
        return NotImplemented if self._is_ordinary else self._refuse()

    def __ne__(self, other):
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __lt__ = __le__ = __gt__ = __ge__ = lambda self, _other: NotImplemented if self._is_ordinary else self._refuse()

    def __hash__(self):
        return id(self) if self._is_ordinary else self._refuse()

    def __bool__(self):
        return True if self._is_ordinary else self._runner.call(self.target, (), {}, "truth")

    def __repr__(self):
        return self._runner.call(self.target, (), {}, "repr")

    def __str__(self):
        return self._runner.call(self.target, (), {}, "str")


class Function(Foreign):
    """A function of the program; calling it asks the runner."""

    def __init__(self, runner, target, kind="function", is_ordinary=True):
        super().__init__(runner, target, kind, is_ordinary)
        self.__name__ = target.get("name", "function")

    def __call__(self, *arguments, **keywords):
        return self._runner.call(self.target, arguments, keywords)


class Iterator(Foreign):
    """An iterator or generator of the program; each element is asked for."""

    def __iter__(self):
        return self

    def __next__(self):
        return self._runner.call(self.target, (), {}, "next")


class View(Foreign):
    """A view of a dictionary of the program."""

    def __iter__(self):
        return self._runner.call(self.target, (), {}, "iter")

    def __len__(self):
        return self._runner.call(self.target, (), {}, "len")


def handed_back(value, _refer):
    """What the program has given away before, when it is given back."""
    if not isinstance(value, Foreign):
        return None
    return ["global", value.target["name"]] if "name" in value.target else ["handle", value.target["handle"]]
