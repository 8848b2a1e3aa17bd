"""What feedback tells agents about a program beside its test results: definitions, the syntax error, how aux is used.

Nothing here runs the text it looks at.
"""
import ast
import re
import warnings

from code_task import programs, published
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
        reason = None if re.search(r"\breturn\b", block) else "no_return"
        return {"source": block, "reason": reason, "others": []}
    others = [other for other in re.findall(r"^[ \t]*(?:async\s+)?def\s+(\w+)", text, re.MULTILINE) if other != name]
    reason = "empty" if text.strip() == "" else "other_name" if others else "no_function"
    return {"source": "", "reason": reason, "others": list(dict.fromkeys(others))[:5]}


def _strict_block(text, name):
    source = programs.read(text)
    found = [text for node, text in source.statements if programs.bound_names(node) == {name} and isinstance(node, programs.FUNCTIONS)]
    return found[-1] if found else source.broken.get(name, "").rstrip()


def _function_in(block, name):
    tree = syntax.parse(block)
    found = [node for node in ast.walk(tree) if isinstance(node, programs.FUNCTIONS) and node.name == name] if tree else []
    return found[0] if found else None


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
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    found = []
    for node in ast.walk(function):
        if not programs.is_aux_call(node) or not programs.is_lost(parents[node], function, parents):
            continue
        parent = parents[node]
        if isinstance(parent, ast.Expr):
            found.append({"kind": "standalone", "line": node.lineno - function.lineno + 1, "name": None})
            continue
        target = parent.targets[0] if isinstance(parent, ast.Assign) else parent.target
        reads = any(programs.is_name(inner, target.id, ast.Load) for inner in ast.walk(function))
        kind = "reassigned" if reads else "unused"
        found.append({"kind": kind, "line": node.lineno - function.lineno + 1, "name": target.id})
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
