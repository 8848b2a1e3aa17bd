"""Runs a joint program with another aux in place of agent 1's: what happens to the tests shows what aux is good for.

The name `aux` is bound anew in the program's namespace after agent 1's definitions have run and before agent 2's, so that
aliases and defaults made while the program loads hold the new one too, and nothing in either text is replaced.
"""
import ast

from code_task import programs
from sandbox import syntax
from sandbox.testing import run_tests

_COUNTING = '''
def __magrpo_counting__(function):
    import sys
    sys.setrecursionlimit(2 * sys.getrecursionlimit())  # the wrappers need frames of their own
    own = getattr(function, "__code__", None)
    state = {}

    def reset():
        state.update(tests=0, calls=0, now=0, most=0, running=False, entered=False, seen=[], many=False)

    def note(value):
        if type(value) not in (bool, int, str, type(None)) or type(value) is str and len(value) > 40:
            state["many"] = True
        elif not any(type(value) is type(other) and value == other for other in state["seen"]):
            state["seen"].append(value)
            state["many"] |= len(state["seen"]) > 4

    def aux(*arguments, **named):
        if state["running"] or own is not None and sys._getframe(1).f_code is own:
            return function(*arguments, **named)  # recursion is aux's own affair
        state["calls"] += 1
        state["now"] += 1
        state["most"] = max(state["most"], state["now"])
        state["running"] = True
        try:
            result = function(*arguments, **named)
        finally:
            state["running"] = False
        if not state["many"]:
            note(result)
        return result

    def entry(main):
        reset()

        def counted(*arguments, **named):
            if state["entered"]:
                return main(*arguments, **named)
            state["tests"] += 1
            state["now"] = 0
            state["entered"] = True
            try:
                return main(*arguments, **named)
            finally:
                state["entered"] = False

        return counted

    def counts():
        return [state["tests"], state["calls"], state["most"], [] if state["many"] else state["seen"]]

    reset()
    return aux, entry, counts

aux, __magrpo_entry__, __magrpo_counts__ = __magrpo_counting__(aux)
'''

# Of all the classes that a careful author might name in `except`.
_RAISING = '''
def aux(*arguments, **named):
    kinds = (ValueError, TypeError, KeyError, IndexError, ZeroDivisionError, AttributeError, RuntimeError)
    raise type("AuxFailed", kinds, {})("aux is switched off")
'''

_IDENTITY = '''
def aux(*arguments, **named):
    return arguments[0] if arguments else next(iter(named.values()), None)
'''

_CONSTANT = '''
def aux(*arguments, **named):
    return %r
'''


def program_of(request, variant):
    """The joint program with another aux, and the prompt's own part of it; None if there is no program to run."""
    entry_point = request["entryPoint"]
    aux = programs.read(request["aux"] or "")
    main = programs.read(request["main"])
    if aux.function("aux") is None or main.function(entry_point) is None:
        return None
    prelude = programs.prelude_of(request["prompt"], entry_point)
    own = [(node, text) for node, text in main.statements if "aux" not in programs.bound_names(node)]
    changes, late = [], []
    if variant["kind"] == "counting":
        changes = _statements(_COUNTING)
        late = _statements(f"{entry_point} = __magrpo_entry__({entry_point})")
    elif variant["kind"] == "raising":
        changes = _statements(_RAISING)
    elif variant["kind"] == "identity":
        changes = _statements(_IDENTITY)
    elif variant["kind"] == "constant":
        changes = _statements(_CONSTANT % (variant["value"],))
    program = programs.join(prelude, aux.statements, changes, own, late)
    return None if syntax.parse(program) is None else (program, programs.join(prelude))


def _statements(text):
    return [(node, ast.get_source_segment(text, node)) for node in ast.parse(text).body]


def experiment(request, runner, static):
    """Answers a request for the test results of one variant and, of the variant `counting`, how often aux was called."""
    variant = request["variant"]
    made = program_of(request, variant)
    if made is None:
        return {"tests": None, "counts": None}
    static({"tests": None, "counts": None})
    program, prelude = made
    tests = run_tests(program, prelude, request["test"], request["entryPoint"], runner)
    return {"tests": tests, "counts": _counts(runner) if variant["kind"] == "counting" else None}


def _counts(runner):
    """What the program's counters say, or None. It could lie: nothing is scored by it."""
    try:
        runner.renew()
        tests, calls, most, seen = runner.call({"name": "__magrpo_counts__"}, (), {})
        if not all(type(number) is int and number >= 0 for number in (tests, calls, most)) or type(seen) is not list:
            return None
        kept = [value for value in seen[:4] if type(value) in (bool, int, str, type(None)) and len(repr(value)) < 100]
        return {"tests": tests, "calls": calls, "most": most, "seen": kept}
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, MemoryError)):
            raise
        return None
