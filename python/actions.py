"""What a worker can be asked for: run tests, look at programs, score a joint completion."""
import importlib

import asserts
import cooperation
import diagnosis
import experiments
import programs
import published
from asserts import Board, Stop
from judge import Function


# Modules that tests may use because the program has imported them.
HARMLESS = {
    f"module {name}"
    for name in "bisect collections copy datetime decimal fractions functools heapq itertools json math operator random re "
    "statistics string typing".split()
}


def run_tests(program, prelude, tests, entry_point, runner):
    """Runs a test module against a program, the asserts on the trusted side. Returns what `summary` makes of it."""
    tree = programs.parse(tests)
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


def tests_action(request, runner):
    return run_tests(request["program"], request["prelude"], request["tests"], request["entryPoint"], runner)


def strict_facts(request):
    """Facts of the strict rules: each completion as a syntax tree."""
    entry_point = request["entryPoint"]
    has_aux = request["aux"] is not None
    aux = programs.Source(request["aux"] or "")
    main = programs.Source(request["main"])
    prelude = programs.prelude_of(request["prompt"], entry_point)
    function = main.function(entry_point)
    # Agent 1's aux is the one that counts; a second one written by agent 2 would make the cooperation a sham.
    hides_aux = has_aux and aux.defines("aux")
    own = [(node, text) for node, text in main.statements if not (hides_aux and "aux" in programs.bound_names(node))]
    program = programs.join(prelude, aux.statements, own)
    broken = [source for source in (aux, main) if source.is_broken]
    if broken:
        parts = [aux.code if aux.is_broken else programs.join(aux.statements)]
        parts.append(main.code if main.is_broken else programs.join(own))
        program = "\n".join([programs.join(prelude), *parts])
        if programs.compiled(program) is not None:
            program = broken[0].code  # quotes that both leave open
    return {
        "structureAux": has_aux and aux.returns("aux"),
        "structureMain": main.returns(entry_point),
        "syntax": not broken and programs.compiled(program) is not None,
        "hasAux": hides_aux,
        "usesAux": function is not None and programs.uses_aux(function),
        "wrapper": function is not None and programs.is_wrapper(function),
        "ignoresAux": function is not None and programs.ignores_aux(function),
        "program": program,
        "prelude": programs.join(prelude),
    }


def paper_facts(request):
    """Facts of the published rules: text search."""
    entry_point = request["entryPoint"]
    aux = published.function_of(request["aux"] or "", "aux")
    main = published.function_of(request["main"], entry_point)
    imports = published.imports_of(request["prompt"])
    program = published.combine(imports, aux, main)
    return {
        "structureAux": bool(aux) and published.returns(aux),
        "structureMain": bool(main) and published.returns(main),
        "syntax": programs.parse(program) is not None,
        "hasAux": bool(aux),
        "usesAux": published.uses_aux(main),
        "wrapper": published.is_wrapper(main),
        "ignoresAux": published.ignores_aux(main),
        "program": program,
        "prelude": imports,
    }


def paper_tests(facts, request, runner):
    """Runs the asserts that the published extraction finds, each line by itself."""
    entry_point = request["entryPoint"]
    lines = published.tests_of(request["test"], entry_point)
    board = Board(len(lines), runner.limits["maxTimeouts"], runner.renew)
    if not lines:
        return summary(board)
    try:
        names = runner.load(facts["program"], preset=("math",), bare=True, catchable=True)
        import math

        space = {"math": math}
        exec(facts["prelude"], space)
        for name, kind in names.items():
            if kind == "function" and (name in (entry_point, "aux") or name not in space):
                space[name] = Function(runner, {"name": name})
        asserts.run_lines(list(enumerate(lines)), space, board)
        if board.pending:
            pending = [[number, line] for number, line in enumerate(lines) if board.outcomes[number].forgeable]
            merge(board, runner.tests(entry_point, None, pending, len(lines)), [number for number, _ in pending])
    except (Stop, Exception) as error:
        board.abort(error)
    return summary(board)


def code_action(request, runner):
    """Facts and, where the rules go that far, test results of a joint completion."""
    strict = request["rules"] == "strict"
    facts = strict_facts(request) if strict else paper_facts(request)
    has_team = request["aux"] is not None
    facts["asWritten"] = all(programs.compiled(request[agent] or "") is not None for agent in ("aux", "main"))
    facts["cooperation"] = cooperation.detect(request["aux"], request["main"], request["entryPoint"]) if has_team else None
    reply = {"facts": facts, "tests": None}
    if request["test"] is not None and facts["structureMain"] and facts["syntax"]:
        if strict:
            tests = run_tests(facts["program"], facts["prelude"], request["test"], request["entryPoint"], runner)
        else:
            tests = paper_tests(facts, request, runner)
        reply["tests"] = tests
    return reply


def diagnose_action(request, runner):
    """What feedback says of a joint completion beside its test results; nothing is run."""
    facts = (strict_facts if request["rules"] == "strict" else paper_facts)(request)
    return diagnosis.diagnose(request, facts["program"])


def cooperation_action(request, _runner):
    """How the entry points of joint completions use the helper; nothing is run."""
    return [cooperation.detect(each["aux"], each["main"], each["entryPoint"]) for each in request["programs"]]


def experiment_action(request, runner):
    """Test results of a joint completion with another aux in place of agent 1's."""
    return experiments.experiment(request, runner, run_tests)


by_name = {
    "tests": tests_action,
    "code": code_action,
    "diagnose": diagnose_action,
    "cooperation": cooperation_action,
    "experiment": experiment_action,
}
