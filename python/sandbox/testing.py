"""Runs a test module against a program: the asserts on the trusted side, as far as their values are plain data."""
import importlib

from sandbox import asserts, relevance, syntax
from sandbox.asserts import Board, NeedsOneProcess, Stop
from sandbox.proxies import Function

# Modules that tests may use because the program has imported them.
HARMLESS = {
    f"module {name}"
    for name in "bisect collections copy datetime decimal fractions functools heapq itertools json math operator random re "
    "statistics string typing".split()
}


UNJUDGED = "forgeable"
_WHY = "the test needs values that only the program's own process has, where its outcome could be forged"


def run_tests(program, prelude, tests, entry_point, runner, counts_forgeable=False):
    """Runs a test module against a program, the asserts on the trusted side. Returns what `summary` makes of it.

    What a test file itself asks for and cannot be had here (a function of the test handed over, a class of the program) makes its
    asserts forgeable. They fail; with `counts_forgeable` they run beside the program, which can forge how they end.
    """
    tree = syntax.parse(tests)
    if tree is None:
        return {"invalid": "test"}
    board = Board(asserts.count_asserts(tree), runner.limits["maxTimeouts"], runner.renew, calls=lambda: runner.calls)
    try:
        names = runner.load(program)
        if entry_point not in names:
            raise Stop("name", f"the program does not define {entry_point}")
        candidate = Function(runner, {"name": entry_point})
        space = {}
        if prelude:
            exec(compile(prelude, "<prompt>", "exec", dont_inherit=True), space)
        space[entry_point] = candidate
        free = sorted(relevance.free_names(tree) - set(space))
        in_one_process = bind(space, free, names, tree, runner)
        wanted = [name for name in free if name in names and names[name] not in HARMLESS]
        board.about = relevance.of(tree, syntax.parse(prelude or ""), [entry_point, *wanted])
        if in_one_process:
            board.abort(NeedsOneProcess())
        else:
            asserts.run_module(tree, space, candidate, board)
        if board.pending and counts_forgeable:
            merge(board, runner.tests(entry_point, tests, None, len(board.outcomes)), range(len(board.outcomes)))
        elif board.pending:
            refuse(board)
    except (Stop, Exception) as error:
        board.abort(error)
    return summary(board)


def bind(space, free, names, tree, runner):
    """Gives test code the globals of the program that it names; True if it uses a class, which only the program itself has."""
    in_one_process = False
    for name in free:
        kind = names.get(name)
        if kind == "function":
            space[name] = Function(runner, {"name": name})
        elif kind in HARMLESS:
            space[name] = importlib.import_module(kind[len("module ") :])
        elif kind == "class" and relevance.uses_as_class(tree, name):
            in_one_process = True
        elif kind is not None:
            space[name] = runner.fetch(name)
    return in_one_process


def merge(board, claimed, numbers):
    """Takes over the claimed outcomes of those asserts that could not be judged from outside."""
    board.timeouts += int(claimed["timeouts"])
    for number in numbers:
        outcome = board.outcomes[number]
        if outcome.forgeable:
            runs, _, reason, message = claimed["outcomes"][number]
            outcome.runs = int(runs)
            outcome.reason = None if reason is None else str(reason)[:20]
            outcome.message = str(message)[:300]
            outcome.is_test = outcome.reason is not None or board.about is None or board.about[number].mentions
    if claimed["aborted"] and board.aborted is None:
        board.aborted = (str(claimed["aborted"][0])[:20], str(claimed["aborted"][1])[:300])


def refuse(board):
    """Has every assert fail that could not be judged from outside."""
    for number, outcome in enumerate(board.outcomes):
        if outcome.forgeable:
            outcome.runs, outcome.reason, outcome.message = 1, UNJUDGED, _WHY
            outcome.is_test = board.about is None or board.about[number].mentions


def summary(board):
    """Counts and outcomes. An assert that never ran has failed if the tests ended early, else it does not count.

    Tests that ended early have not passed as a whole: if no assert that says something of the program failed, then those do that
    never ran, or the last one, which the end followed.
    """
    outcomes = _outcomes(board, board.about)
    if board.aborted is not None and outcomes and all(outcome["ok"] for outcome in outcomes):
        outcomes = _outcomes(board, None)
        if all(outcome["ok"] for outcome in outcomes):
            outcomes[-1].update(ok=False, reason=board.aborted[0], message=board.aborted[1][:300])
    reasons = [outcome["reason"] for outcome in outcomes if outcome["reason"]]
    aborted = board.aborted[0] if board.aborted else None
    message = board.aborted[1] if board.aborted else next((each["message"] for each in outcomes if each["reason"]), "")
    return counted(outcomes, board.timeouts, aborted or (reasons[0] if reasons else None), message)


def _outcomes(board, about):
    """The outcomes that count; of the asserts that never ran, all do if `about` is None."""
    outcomes = []
    for number, outcome in enumerate(board.outcomes):
        if outcome.runs == 0:
            if board.aborted is None or about is not None and not about[number].mentions:
                continue
            outcome.reason, outcome.message = board.aborted
        elif not outcome.is_test:
            continue
        outcomes.append(
            {
                "number": number,
                "ok": outcome.reason is None,
                "reason": outcome.reason,
                "message": (outcome.message or "")[:300],
                "forgeable": outcome.forgeable,
            }
        )
    return outcomes


def counted(outcomes, timeouts, reason, message):
    """A report of outcomes."""
    return {
        "passed": sum(outcome["ok"] for outcome in outcomes),
        "total": len(outcomes),
        "timeouts": timeouts,
        "forgeable": sum(outcome["forgeable"] for outcome in outcomes),
        "reason": reason,
        "message": message,
        "outcomes": outcomes,
    }


def checked(fields):
    """The fields of a reply that tests fill in, rebuilt from what a judge that has run test code claims.

    Raises TypeError, ValueError or KeyError for anything that no judge says.
    """
    kept = {"tests": {"invalid": "test"} if "invalid" in fields["tests"] else _checked_report(fields["tests"])}
    if fields.get("counts") is not None:
        tests, calls, most, seen = (fields["counts"][name] for name in ("tests", "calls", "most", "seen"))
        if not all(type(number) is int and number >= 0 for number in (tests, calls, most)) or type(seen) is not list:
            raise ValueError
        seen = [value for value in seen[:4] if value is None or type(value) in (bool, int, str) and len(str(value)) < 100]
        kept["counts"] = {"tests": tests, "calls": calls, "most": most, "seen": seen}
    return kept


def _checked_report(report):
    outcomes = []
    for outcome in report["outcomes"]:
        number, reason = outcome["number"], outcome["reason"]
        if type(number) is not int or not 0 <= number < 1 << 24:
            raise ValueError
        outcomes.append(
            {
                "number": number,
                "ok": reason is None,
                "reason": None if reason is None else str(reason)[:20],
                "message": str(outcome["message"])[:300],
                "forgeable": outcome["forgeable"] is True,
            }
        )
    reason = report["reason"]
    timeouts = min(max(int(report["timeouts"]), 0), 1 << 24)
    return counted(outcomes, timeouts, None if reason is None else str(reason)[:20], str(report["message"])[:300])


def answer(request, runner, static):
    """Answers a request for the results of a program in its tests."""
    static({})
    forgeable = request.get("forgeable") == "count"
    program, prelude, tests = request["program"], request["prelude"], request["tests"]
    return {"tests": run_tests(program, prelude, tests, request["entryPoint"], runner, forgeable)}
