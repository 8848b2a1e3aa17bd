"""What is known of a value while a program is read: which calls of aux it comes from, and what it is without them."""
from collections import namedtuple

# What a value is on the paths where it does not come from aux.
CONSTANT, PARAMETER, PART, OWN = "constant", "parameter", "part", "own"

_NONE = frozenset()

# calls: calls of aux it comes from.  is_aux: it may be aux itself.  changed: not just what aux returned.
# natures: the words above, for paths without aux.  parameters: names of the parameters it may be, unchanged.
# functions: (node, frame, bound first argument) of the functions it may be.  table: a display of several alternatives.
# constants: texts of the constants it may be.
Value = namedtuple(
    "Value",
    "calls is_aux changed natures parameters functions table constants",
    defaults=(_NONE, False, False, _NONE, _NONE, (), False, _NONE),
)

UNKNOWN = Value(natures=frozenset({OWN}))
AUX = Value(is_aux=True)


def constant(text):
    """A constant, by its text."""
    return Value(natures=frozenset({CONSTANT}), constants=frozenset({text}))


NONE = constant("None")


def parameter(name):
    """An argument of the entry point."""
    return Value(natures=frozenset({PARAMETER}), parameters=frozenset({name}))


def join(first, second):
    """A value that is one or the other."""
    if first is second:
        return first
    return Value(
        first.calls | second.calls,
        first.is_aux or second.is_aux,
        first.changed or second.changed,
        first.natures | second.natures,
        first.parameters | second.parameters,
        first.functions + tuple(each for each in second.functions if each not in first.functions),
        first.table or second.table,
        first.constants | second.constants,
    )


def mix(values, calls=_NONE):
    """The result of an operation on values."""
    calls = calls.union(*(value.calls for value in values)) if values else calls
    if calls:
        always = any(value.calls and not value.natures for value in values)
        return Value(calls, changed=True, natures=_NONE if always else frozenset({OWN}))
    is_constant = all(value.natures <= {CONSTANT} and not value.functions and not value.is_aux for value in values)
    texts = [min(value.constants, default="") for value in values]
    return constant(f"({', '.join(texts)[:80]})") if is_constant else UNKNOWN


def part_of(value):
    """An element, slice or attribute of a value."""
    natures = frozenset(PART if nature == PARAMETER else nature for nature in value.natures)
    return Value(value.calls, value.is_aux, bool(value.calls), natures, _NONE, value.functions)


def is_independent(value):
    """Whether it owes nothing to aux."""
    return not value.calls and not value.is_aux


def is_trivial(value):
    """Whether it is a constant or a parameter as it came: nothing was computed, not even which of two of them it is."""
    choices = len(value.constants) + len(value.parameters)
    return value.natures <= {CONSTANT, PARAMETER} and not value.functions and choices < 2


def is_bare_parameter(value):
    """Whether it is exactly one parameter as it came."""
    return value.natures == {PARAMETER} and len(value.parameters) == 1 and not value.calls and not value.is_aux
