"""Scores a joint completion of a coding task: facts about its text by either set of rules, and its test results."""
import math

from code_task import diagnosis, programs, published
from code_task.lost import LostCalls
from sandbox import asserts, syntax
from sandbox.asserts import Board, Stop
from sandbox.proxies import Function
from sandbox.testing import merge, refuse, run_tests, summary


def facts_of(request):
    """Facts of a joint completion by the rules it is to be read by."""
    return strict_facts(request) if request["rules"] == "strict" else paper_facts(request)


def strict_facts(request):
    """Facts of the strict rules: each completion as a syntax tree."""
    entry_point = request["entryPoint"]
    has_aux = request["aux"] is not None
    aux = programs.read(request["aux"] or "")
    main = programs.read(request["main"])
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
        if syntax.compiled(program) is not None:
            program = broken[0].code  # quotes that both leave open
    return {
        "structureAux": has_aux and aux.returns("aux"),
        "structureMain": main.returns(entry_point),
        "syntax": not broken and syntax.compiled(program) is not None,
        "hasAux": hides_aux,
        "usesAux": function is not None and programs.uses_aux(function),
        "wrapper": function is not None and programs.is_wrapper(function),
        "ignoresAux": function is not None and ignores_aux(function),
        "program": program,
        "prelude": programs.join(prelude),
    }


def ignores_aux(function):
    """Whether the value of a call of aux is lost."""
    lost = LostCalls(function)
    return any(lost.statement(call) is not None for call in lost.calls)


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
        "syntax": syntax.parse(program) is not None,
        "hasAux": bool(aux),
        "usesAux": published.uses_aux(main),
        "wrapper": published.is_wrapper(main),
        "ignoresAux": published.ignores_aux(main),
        "program": program,
        "prelude": imports,
    }


def paper_tests(facts, request, runner):
    """Runs the asserts that the published extraction finds, each line by itself; all that it finds are tests."""
    entry_point = request["entryPoint"]
    lines = published.tests_of(request["test"], entry_point)
    board = Board(len(lines), runner.limits["maxTimeouts"], runner.renew)
    if not lines:
        return summary(board)
    try:
        names = runner.load(facts["program"], preset=("math",), bare=True, catchable=True)
        space = {"math": math}
        exec(facts["prelude"], space)
        for name, kind in names.items():
            if kind == "function" and (name in (entry_point, "aux") or name not in space):
                space[name] = Function(runner, {"name": name})
        asserts.run_lines(list(enumerate(lines)), space, board)
        if board.pending and counts_forgeable(request):
            pending = [[number, line] for number, line in enumerate(lines) if board.outcomes[number].forgeable]
            merge(board, runner.tests(entry_point, None, pending, len(lines)), [number for number, _ in pending])
        elif board.pending:
            refuse(board)
    except (Stop, Exception) as error:
        board.abort(error)
    return summary(board)


def counts_forgeable(request):
    """Whether tests that only the program's own process can run count; the published reward runs all of them there."""
    return request.get("forgeable", "count" if request["rules"] == "paper" else "fail") == "count"


def score(request, runner, static, detect):
    """Facts and, where the rules go that far, test results of a joint completion.

    `detect` reads how a team's program cooperates: it is given both texts and the entry point.
    """
    facts = facts_of(request)
    has_team = request["aux"] is not None
    facts["asWritten"] = all(syntax.compiled(request[agent] or "") is not None for agent in ("aux", "main"))
    facts["cooperation"] = detect(request["aux"], request["main"], request["entryPoint"]) if has_team else None
    reply = {"facts": facts, "tests": None}
    if request["test"] is None or not facts["structureMain"] or not facts["syntax"]:
        return reply
    static(reply)
    if request["rules"] == "paper":
        return {"tests": paper_tests(facts, request, runner)}
    program, prelude, entry_point = facts["program"], facts["prelude"], request["entryPoint"]
    return {"tests": run_tests(program, prelude, request["test"], entry_point, runner, counts_forgeable(request))}


def diagnose(request, _runner, _static):
    """What feedback says of a joint completion beside its test results; nothing is run."""
    return diagnosis.diagnose(request, facts_of(request)["program"])
