"""Runs test code and keeps count of every assert statement in it, going on after one that fails."""
import ast
import re

from sandbox import syntax

CHECK = "__magrpo_assert__"


class Stop(BaseException):
    """No further test can be run; `reason` says why."""

    def __init__(self, reason, message=""):
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.is_counted = False  # among the timeouts


class ProgramFailed(BaseException):
    """A call of the program under test failed; mixed into the builtin class it raised."""

    reason = "exception"


class CallFailed(ProgramFailed, Exception):
    """One that `except Exception` catches."""


class NeedsOneProcess(Exception):
    """A test handed over a value that is no plain data."""


class Outcome:
    """What is known of one assert statement: how often it ran, and its first failure."""

    __slots__ = ("runs", "is_test", "reason", "message", "forgeable")

    def __init__(self):
        self.runs = 0
        self.is_test = False  # passing it has said something of the program, or it has not passed
        self.reason = None
        self.message = ""
        self.forgeable = False

    def as_list(self):
        """What crosses from the process of a program to the judge."""
        return [self.runs, self.is_test, self.reason, self.message[:300]]


class Board:
    """The outcomes of all assert statements. `renew` is called where a new CPU budget starts: around every assert.

    `about` has, for each assert, whether it reads what the program gave (`relevance.of`), and `calls` counts the calls of the
    program so far: an assert that passes without either is no test of it. Without `about` every assert is a test.
    """

    def __init__(self, count, max_timeouts, renew, timeout=(), about=None, calls=None):
        self.outcomes = [Outcome() for _ in range(count)]
        self.max_timeouts = max_timeouts
        self.renew = renew
        self.timeout = timeout
        self.about = about
        self.calls = calls or (lambda: 1)  # beside the program nobody counts
        self.timeouts = 0
        self.pending = False
        self.aborted = None
        self.depth = 0

    def enter(self):
        """An assert begins; the outermost one starts a new CPU budget."""
        if self.depth == 0:
            self.renew()
        self.depth += 1

    def leave(self):
        """An assert has ended; what follows the outermost one has a CPU budget of its own."""
        self.depth -= 1
        if self.depth == 0:
            self.renew()

    def is_test(self, number, calls_before):
        """Whether an assert that has just passed says anything of the program; `calls_before` were made before it."""
        if self.about is None:
            return True
        calls = self.calls()
        return calls > calls_before or (calls > 0 and self.about[number].reads_result)

    def record(self, number, error, calls_before):
        """Takes down how one run of assert `number` ended; True if testing goes on."""
        outcome = self.outcomes[number]
        outcome.runs += 1
        outcome.is_test = outcome.is_test or error is not None or self.is_test(number, calls_before)
        if error is None:
            return True
        if isinstance(error, NeedsOneProcess):
            outcome.forgeable = self.pending = True
            return True
        reason, message = explain(error, self.timeout)
        if reason == "timeout":
            self.timeouts += 1
        if outcome.reason is None:
            outcome.reason, outcome.message = reason, message
        if self.timeouts >= self.max_timeouts:
            stop = Stop("timeout", f"stopped after {self.timeouts} timeouts")
            stop.is_counted = True
            raise stop
        return isinstance(error, Exception) or reason == "timeout"

    def abort(self, error):
        """Takes down that the test code itself ended early: asserts that never ran have failed."""
        if isinstance(error, NeedsOneProcess):
            self.pending = True
            for outcome in self.outcomes:
                if outcome.runs == 0:
                    outcome.forgeable = True
            return
        if self.aborted is None:
            self.aborted = explain(error, self.timeout)
            if isinstance(error, Stop) and error.reason == "timeout" and not error.is_counted:
                error.is_counted = True
                self.timeouts += 1  # a program that was killed for it has timed out as well

    def report(self):
        """All outcomes as plain data."""
        return {
            "outcomes": [outcome.as_list() for outcome in self.outcomes],
            "timeouts": self.timeouts,
            "aborted": self.aborted,
        }


def explain(error, timeout=()):
    """Reason and message of a failure."""
    if isinstance(error, Stop):
        return error.reason, error.message
    if timeout and isinstance(error, timeout):
        return "timeout", "CPU time limit"
    if isinstance(error, ProgramFailed):
        return error.reason, str(error)
    try:
        if isinstance(error, AssertionError):
            return "assert", str(error)
        if isinstance(error, MemoryError):
            return "memory", "out of memory"
        if isinstance(error, SystemExit):
            return "exit", "SystemExit"
        return "exception", f"{type(error).__name__}: {error}"
    except BaseException:
        return "exception", type(error).__name__


class _Guard:
    """The context one assert statement runs in."""

    __slots__ = ("board", "number", "calls")

    def __init__(self, board, number):
        self.board = board
        self.number = number

    def __enter__(self):
        self.board.enter()
        self.calls = self.board.calls()

    def __exit__(self, _kind, error, _trace):
        self.board.leave()
        if isinstance(error, (Stop, KeyboardInterrupt)):
            outcome = self.board.outcomes[self.number]
            outcome.runs += 1
            outcome.is_test = True
            if outcome.reason is None:
                outcome.reason, outcome.message = explain(error)
            return False
        return self.board.record(self.number, error, self.calls)


class _Numbering(ast.NodeTransformer):
    def __init__(self):
        self.count = 0

    def visit_Assert(self, node):
        """Puts the assert into a `with` that knows its number."""
        call = ast.Call(ast.Name(CHECK, ast.Load()), [ast.Constant(self.count)], [])
        self.count += 1
        guarded = ast.With([ast.withitem(call, None)], [node])
        return ast.fix_missing_locations(ast.copy_location(guarded, node))


def count_asserts(tree):
    """The number of assert statements in a syntax tree."""
    return sum(isinstance(node, ast.Assert) for node in ast.walk(tree))


def run_module(tree, space, candidate, board):
    """Runs a test module in `space`; if it defines `check` and does not call it, `check(candidate)` is called at the end."""
    calls_check = any(
        syntax.called_name(node) == "check"
        for statement in tree.body
        if not isinstance(statement, (ast.FunctionDef, ast.ClassDef))
        for node in ast.walk(statement)
    )
    defines_check = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body)
    space[CHECK] = lambda number: _Guard(board, number)
    space["__name__"] = "tests"
    steps = [lambda: exec(compile(_Numbering().visit(tree), "<tests>", "exec", dont_inherit=True), space)]
    if defines_check and not calls_check:
        steps.append(lambda: space["check"](candidate))
    for step in steps:
        board.renew()
        try:
            step()
        except BaseException as error:
            board.abort(error)
            return


def run_lines(lines, space, board):
    """Runs single-line asserts as the published reward does."""
    for number, line in lines:
        try:
            with _Guard(board, number):
                _run_line(line, space)
        except BaseException as error:
            board.abort(error)
            return


def _run_line(line, space):
    """Runs one assert; the sides of `assert f(...) == ...` are evaluated, and turned into text, beforehand."""
    sides = re.search(r"assert\s+(\w+)\(([^)]*)\)\s*==\s*(.+)", line)
    if sides:
        actual = eval(f"{sides.group(1)}({sides.group(2)})", space)
        expected = eval(sides.group(3), space)
        f"{expected}"
        f"{actual}"
    exec(line, space)
