"""Runs a test module against a program: the asserts on the trusted side, as far as their values are plain data."""
import importlib

from sandbox import asserts, syntax
from sandbox.asserts import Board, Stop
from sandbox.proxies import Function

# Modules that tests may use because the program has imported them.
HARMLESS = {
    f"module {name}"
    for name in "bisect collections copy datetime decimal fractions functools heapq itertools json math operator random re "
    "statistics string typing".split()
}


def run_tests(program, prelude, tests, entry_point, runner):
    """Runs a test module against a program, the asserts on the trusted side. Returns what `summary` makes of it."""
    tree = syntax.parse(tests)
    if tree is None:
        return {"invalid": "test"}
    count = asserts.count_asserts(tree)
    board = Board(count, runner.limits["maxTimeouts"], runner.renew)
    space = {}
    in_one_process = False
    try:
        names = runner.load(program)
        if entry_point not in names:
            raise Stop("name", f"the program does not define {entry_point}")
        candidate = Function(runner, {"name": entry_point})
        if prelude:
            exec(compile(prelude, "<prompt>", "exec", dont_inherit=True), space)
        space[entry_point] = candidate
        for name in sorted(asserts.free_names(tree) - set(space)):
            kind = names.get(name)
            if kind == "function":
                space[name] = Function(runner, {"name": name})
            elif kind in HARMLESS:
                space[name] = importlib.import_module(kind[len("module ") :])
            elif name in names:
                value = runner.fetch(name)
                if value is None:
                    in_one_process = True
                else:
                    space[name] = value[0]
        if in_one_process:
            board.pending = True
            for outcome in board.outcomes:
                outcome.forgeable = True
        else:
            asserts.run_module(tree, space, candidate, board)
        if board.pending:
            merge(board, runner.tests(entry_point, tests, None, count), range(count))
    except (Stop, Exception) as error:
        board.abort(error)
    return summary(board)


def merge(board, claimed, numbers):
    """Takes over the claimed outcomes of those asserts that could not be judged from outside."""
    board.timeouts += int(claimed["timeouts"])
    for number in numbers:
        outcome = board.outcomes[number]
        if outcome.forgeable:
            runs, reason, message, _ = claimed["outcomes"][number]
            outcome.runs = int(runs)
            outcome.reason = None if reason is None else str(reason)[:20]
            outcome.message = str(message)[:300]
    if claimed["aborted"] and board.aborted is None:
        board.aborted = (str(claimed["aborted"][0])[:20], str(claimed["aborted"][1])[:300])


def summary(board):
    """Counts and outcomes. An assert that never ran has failed if the tests ended early, else it does not count."""
    outcomes = []
    for number, outcome in enumerate(board.outcomes):
        if outcome.runs == 0:
            if board.aborted is None:
                continue
            outcome.reason, outcome.message = board.aborted
        outcomes.append(
            {
                "number": number,
                "ok": outcome.reason is None,
                "reason": outcome.reason,
                "message": (outcome.message or "")[:300],
                "forgeable": outcome.forgeable,
            }
        )
    reasons = [outcome["reason"] for outcome in outcomes if outcome["reason"]]
    aborted = board.aborted[0] if board.aborted else None
    return {
        "passed": sum(outcome["ok"] for outcome in outcomes),
        "total": len(outcomes),
        "timeouts": board.timeouts,
        "forgeable": sum(outcome["forgeable"] for outcome in outcomes),
        "reason": aborted or (reasons[0] if reasons else None),
        "message": board.aborted[1] if board.aborted else next((o["message"] for o in outcomes if o["reason"]), ""),
        "outcomes": outcomes,
    }


def answer(request, runner):
    """Answers a request for the results of a program in its tests."""
    return run_tests(request["program"], request["prelude"], request["tests"], request["entryPoint"], runner)
