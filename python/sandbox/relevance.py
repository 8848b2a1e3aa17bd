"""Which asserts of a test module can say anything of the program under test, read off its syntax tree; nothing is run.

Published tests hold asserts that no program can fail (`assert True`). Whether an assert calls the program is seen while it runs.
What is read here is whether it looks at anything the program gave before: a name that was set from a call, or handed to one, or
set in a block that runs or not as a call ends.
"""
import ast
import builtins
from collections import namedtuple

from sandbox import syntax

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPOUND = (*_FUNCTIONS, ast.ClassDef, ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_BRANCHING = (*_LOOPS, ast.If, ast.With, ast.AsyncWith, ast.Try)

# reads_result: a name in it has to do with what the program gave. mentions: that, or the program itself.
About = namedtuple("About", "reads_result mentions")


def free_names(tree):
    """Names that test code reads and does not bind itself."""
    read, bound = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.alias):
            bound.add(syntax.imported_name(node))
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
    return {name for name in read - bound if not hasattr(builtins, name)}


def uses_as_class(tree, name):
    """Whether test code uses a name in a way in which only a class, or something like it, can be used."""
    for node in ast.walk(tree):
        if syntax.called_name(node) == name:
            return True
        if isinstance(node, ast.Call) and syntax.called_name(node) in ("isinstance", "issubclass"):
            if any(_is_name(inner, name) for argument in node.args[1:] for inner in ast.walk(argument)):
                return True
        if isinstance(node, ast.Attribute) and _is_name(node.value, name):
            return True
        if isinstance(node, ast.ExceptHandler) and node.type and any(_is_name(inner, name) for inner in ast.walk(node.type)):
            return True
    return False


def _is_name(node, name):
    return isinstance(node, ast.Name) and node.id == name


def of(tree, prelude, program_names):
    """An `About` for each assert of a test module, in the order of their numbers.

    `prelude` is the tree of what runs before the module, or None; `program_names` are the names of the program that it may use.
    """
    roots = set(program_names)
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS) and node.name == "check" and node.args.args:
            roots.add(node.args.args[0].arg)  # the candidate
    pieces = [piece for each in (prelude, tree) if each is not None for piece in _pieces(each)]
    modules = {syntax.imported_name(alias) for each in (prelude, tree) if each is not None for alias in ast.walk(each) if isinstance(alias, ast.alias)}
    callers, results = set(roots), set()
    grows = True
    while grows:
        before = len(callers) + len(results)
        pieces = [piece for piece in pieces if not _spread(piece, callers, results, modules)]
        grows = len(callers) + len(results) > before
    found = []
    for node in in_order(tree):
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        found.append(About(bool(names & results), bool(names & (results | callers))))
    return found


def in_order(node):
    """The asserts of a tree in the order in which they are numbered: depth first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Assert):
            yield child
        else:
            yield from in_order(child)


def _pieces(tree):
    """For every statement: the names it reads, those it hands to calls or sets, and the name of the function it makes."""
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            yield _names(node), (), node.name
            continue
        if isinstance(node, ast.Try):
            yield _all(_names, node.body), {each.name for each in node.handlers if each.name}, None
        elif isinstance(node, ast.stmt):
            parts = _own_parts(node)
            yield _all(_names, parts), _all(_changed, parts), None
        if isinstance(node, _BRANCHING):
            yield _all(_names, _deciding(node)), _changed(node), None


def _deciding(statement):
    """The nodes that decide which blocks of a compound statement run, and how far."""
    if isinstance(statement, (ast.Try, ast.With, ast.AsyncWith)):
        return statement.body  # what fails in it ends it, and the program may fail
    jumps = isinstance(statement, _LOOPS) and any(isinstance(inner, (ast.Break, ast.Continue)) for inner in ast.walk(statement))
    return [statement] if jumps else _own_parts(statement)


def _all(names_of, nodes):
    return set().union(*map(names_of, nodes))


def _own_parts(statement):
    """The nodes of a statement itself, without the blocks of a compound one."""
    if not isinstance(statement, _COMPOUND):
        return [statement]
    return [child for child in ast.iter_child_nodes(statement) if not isinstance(child, (ast.stmt, ast.ExceptHandler))]


def _names(node):
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def _changed(node):
    """Names that a piece of code sets, the objects they are set in included, or hands to a call or calls a method of, which may
    change them."""
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Call):
            receiver = [inner.func.value] if isinstance(inner.func, ast.Attribute) else []
            found |= _all(_names, (*receiver, *inner.args, *(keyword.value for keyword in inner.keywords)))
        elif isinstance(inner, (ast.Name, ast.Attribute, ast.Subscript, ast.Starred)) and isinstance(inner.ctx, ast.Store):
            found |= _names(inner)
    return found


def _spread(piece, callers, results, unchanging):
    """Takes down what a piece gives on; True if it has, and need not be looked at again."""
    reads, changes, function = piece
    if not reads & (callers | results):
        return False
    if function is not None:
        callers.add(function)
    results |= set(changes) - callers - unchanging
    return True
