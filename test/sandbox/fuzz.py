"""Makes programs and test files at random that lean on what plain CPython and a judge apart from the program could see differently.

    python3 test/sandbox/fuzz.py COUNT SEED

Standard output has a JSON list of {"program", "tests", "entryPoint"}: values of odd classes, changes of arguments, exceptions,
generators; asserts on equality, truth, text, order, membership and identity of what the program gives.
"""
import json
import random
import sys

PLAIN = ["0", "1", "4", "-1", "1.5", "''", "'4'", "'ab'", "[]", "[4]", "[1, [2]]", "()", "(4,)", "{}", "{4: 1}", "{1, 2}", "None", "True", "b'x'",
    "range(3)", "float('nan')", "frozenset({1})", "10**30", "...", "1j"]
BASES = ["object", "int", "float", "str", "list", "tuple", "dict", "set", "bytes"]
METHODS = {
    "__eq__": ["True", "False", "1 / 0", "[]"], "__ne__": ["True", "False", "1 / 0"], "__lt__": ["True", "1 / 0"], "__bool__": ["True", "False", "1 / 0", "5"],
    "__len__": ["0", "3", "-1", "1 / 0"], "__hash__": ["1", "1 / 0"], "__repr__": ["'4'", "4", "1 / 0"], "__str__": ["'4'", "1 / 0"],
    "__contains__": ["True", "False"], "__iter__": ["iter([4])", "1 / 0"], "__next__": ["4", "1 / 0"], "__call__": ["4"], "__getitem__": ["4"],
}
ERRORS = ["ValueError('v')", "KeyError(1)", "ZeroDivisionError", "StopIteration", "AssertionError", "type('E', (ValueError,), {})('e')", "KeyboardInterrupt",
    "GeneratorExit", "SystemExit", "BaseException", "type('B', (BaseException,), {})()", "UnicodeDecodeError('utf8', b'', 0, 1, '')"]


def value(rng):
    """An expression for something that the program gives."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(PLAIN)
    if kind < 0.7:
        return rng.choice(["A()", "[A()]", "(A(), 1)", "{1: A()}", "shared", "[shared, shared]", "A"])
    return rng.choice(["iter([1, 2])", "(i for i in range(3))", "len", "lambda *a: 4", "x", "[x]", "{1: 2}.keys()", "map(str, [1])", "f"])


def program(rng):
    """A program with one odd class and a function that gives odd things."""
    base = rng.choice(BASES)
    lines = [f"class A({base}):", "    pass"]
    for name in rng.sample(sorted(METHODS), rng.randrange(4)):
        lines.append(f"    def {name}(self, *a): return {rng.choice(METHODS[name])}")
    lines += ["shared = A()", f"LIMIT = {value(rng).replace('x', '1') if rng.random() < 0.5 else '4'}" if rng.random() < 0.6 else "", "def f(x=0, *rest):"]
    for argument in ("0", "1", "2"):
        lines.append(f"    if x == {argument}:")
        if rng.random() < 0.25:
            lines.append(f"        raise {rng.choice(ERRORS)}")
        else:
            lines.append(f"        return {value(rng)}")
    lines += ["    if isinstance(x, list): x.append(" + value(rng) + ")", f"    return {value(rng)}", ""]
    return "\n".join(lines).replace("LIMIT = x", "LIMIT = 1").replace("LIMIT = f\n", "LIMIT = 1\n").replace("LIMIT = [x]", "LIMIT = 1")


def check(rng):
    """One assert, or a few lines with one."""
    call, other = (f"f({rng.choice(['0', '1', '2', '3', '[]', 'xs'])})" for _ in range(2))
    expected = rng.choice(PLAIN)
    return rng.choice([
        f"assert {call} == {expected}", f"assert {call} != {expected}", f"assert not {call} == {expected}", f"assert {expected} == {call}", f"assert {call}",
        f"assert not {call}", f"assert bool({call}) is True", f"assert {call} in [{expected}]", f"assert {call} not in [{expected}, 1]", f"assert {expected} in {call}",
        f"assert {call} < 5", f"assert sorted({call}) == [4]", f"assert len({call}) == 1", f"assert list({call}) == [4]", f"assert str({call}) == '4'", f"assert repr({call}) == '4'",
        f"assert {call} is None", f"assert {call} == {other}", f"assert {call} != {other}", f"assert f({call}) == {expected}", f"assert f({call}) != {expected}",
        f"xs = []\nf(xs)\nassert xs == [{expected}]", f"xs = []\nf(xs)\nassert xs != []", f"r = {call}\nassert r == {expected} or r", f"assert {call} == LIMIT", "assert LIMIT", "assert LIMIT != 1",
        f"try:\n    {call}\nexcept ValueError:\n    ok = 1\nelse:\n    ok = f(3)\nassert ok == 1", f"try:\n    {call}\nexcept Exception:\n    pass\nassert f(3) == {expected}",
        f"try:\n    {call}\n    assert False\nexcept Exception as e:\n    assert isinstance(e, (ValueError, KeyError))", f"assert len({{{call}, {other}}}) == 2", "assert True", "assert 1 == 1",
        f"for r in {call}:\n    assert r == {expected}", f"assert all(f(i) != {expected} for i in range(3))", f"assert isinstance({call}, int)", f"assert next({call}) == 1", f"assert {call}() == 4",
        f"assert max({call}, {expected}) == {expected}", f"assert {call} is {other}", f"assert hash({call}) == 1", f"assert min([{call}, 3]) == 3", f"assert {call}[0] == 4",
    ])


def tests(rng):
    """A test file."""
    lines = "\n".join(check(rng) for _ in range(rng.randrange(1, 7)))
    lines = "xs = []\n" + lines
    if rng.random() < 0.3:
        lines = "def check(f):\n" + "\n".join("    " + line for line in lines.split("\n"))
    return lines + "\n"


def main(count, seed):
    rng = random.Random(seed)
    print(json.dumps([{"program": program(rng), "tests": tests(rng), "entryPoint": "f"} for _ in range(count)]))


main(int(sys.argv[1]), int(sys.argv[2]))
