"""What feedback tells agents about a program beside its test results: definitions, the syntax error, how aux is used.

Nothing here runs the text it looks at.
"""
import ast
import re
import warnings

from code_task import programs, published
from code_task.lost import LostCalls
from sandbox import relevance, syntax
from sandbox.asserts import count_asserts

MAX_REASONS = 2


def diagnose(request, program):
    """A description of a joint completion and its tests; `program` is the joint program."""
    strict = request["rules"] == "strict"
    entry_point = request["entryPoint"]
    find = _strict_block if strict else published.function_of
    aux = None if request["aux"] is None else _definition(request["aux"], "aux", find)
    main = _definition(request["main"], entry_point, find)
    function = _function_in(main["source"], entry_point)
    called = function is not None and (programs.uses_aux if strict else _calls_aux)(function)
    return {
        "aux": aux,
        "main": main,
        "error": _syntax_error(program),
        "callsAux": called,
        "misuse": misuse(function) if called else [],
        "wrapper": function is not None and programs.is_wrapper(function),
        "asserts": _asserts(request["test"], entry_point, strict),
    }


def _definition(text, name, find):
    """The source of the function that a completion was to define, and what is wrong with it: `None` if nothing is."""
    block = find(text, name)
    if block:
        reason = None if re.search(r"\breturn\b", block) or not re.search(r"\bdef\b", block) else "no_return"
        return {"source": block, "reason": reason, "others": []}
    others = [other for other in re.findall(r"^[ \t]*(?:async\s+)?def\s+(\w+)", text, re.MULTILINE) if other != name]
    reason = "empty" if text.strip() == "" else "other_name" if others else "no_function"
    return {"source": "", "reason": reason, "others": list(dict.fromkeys(others))[:5]}


def _strict_block(text, name):
    source = programs.read(text)
    return source.definition(name)[1] or source.broken.get(name, "").rstrip()


def _function_in(block, name):
    tree = syntax.parse(block)
    found = [node for node in ast.walk(tree) if isinstance(node, programs.FUNCTIONS) and node.name == name] if tree else []
    return found[0] if found else programs.read(block).function(name)


def _calls_aux(function):
    return any(programs.is_aux_call(node) for node in ast.walk(function))


def _syntax_error(program):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(program, "<program>", "exec", dont_inherit=True)
    except SyntaxError as error:
        return {"line": error.lineno, "column": error.offset, "message": str(error.msg)[:200]}
    except (ValueError, RecursionError, MemoryError) as error:
        return {"line": None, "column": None, "message": str(error)[:200] or type(error).__name__}
    return None


def misuse(function):
    """Why calls of aux are of no use: at most two of `standalone`, `unused` and `reassigned`, with line and variable."""
    lost = LostCalls(function)
    found = []
    for call in lost.calls:
        statement = lost.statement(call)
        if statement is None:
            continue
        line = call.lineno - function.lineno + 1
        if isinstance(statement, ast.Expr):
            found.append({"kind": "standalone", "line": line, "name": None})
            continue
        target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
        found.append({"kind": "reassigned" if target.id in lost.reads else "unused", "line": line, "name": target.id})
    return sorted(found, key=lambda reason: reason["line"])[:MAX_REASONS]


def _asserts(test, entry_point, strict):
    """The asserts as sources, in the order in which outcomes are numbered; `candidate` is written as the entry point."""
    if test is None:
        return []
    if not strict:
        return published.tests_of(test, entry_point)
    tree = syntax.parse(test)
    if tree is None:
        return []
    sources = [None] * count_asserts(tree)
    for number, node in enumerate(relevance.in_order(tree)):
        text = " ".join((ast.get_source_segment(test, node) or "").split())
        sources[number] = re.sub(r"\bcandidate\b", entry_point, text)[:400]
    return sources
