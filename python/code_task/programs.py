"""Reads completions as syntax trees: what they define, whether and how the entry point uses aux, and the joint program.

Nothing here runs the text it looks at.
"""
import ast
import functools
import re
import textwrap

from sandbox import syntax

_FENCE = re.compile(r"^[ \t]*(```|~~~)[ \t]*([^\n`]*)\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_FALLBACK = 1 << 16  # characters; longer broken texts are not searched for whole statements
_MAX_PARSES = 3000  # attempts to find them
_DEF = re.compile(r"(?:async\s+)?def\s+(\w+)\s*\(")


class Source:
    """The top-level statements of a completion, in order, each with its source.

    The code is that of the fences, without fences the whole text: whatever else were forgiven would become a place to write
    anything in. Code that is no Python has no statements: `is_broken` is set, `broken` has its `def` blocks by name.
    """

    def __init__(self, text):
        self.statements = []
        self.broken = {}
        fenced = code_of(text)
        self.code = _tidy(text if fenced is None else fenced)
        tree = syntax.compiled(self.code)
        self.is_broken = tree is None
        if tree is not None:
            self._keep(tree, self.code)
        else:
            for block in _blocks(self.code):
                name = _DEF.match(block)
                if name:
                    self.broken[name.group(1)] = block

    def _keep(self, tree, text):
        lines = text.encode("utf-8", "replace").split(b"\n")
        for node in tree.body:
            if isinstance(node, (ast.Assert, ast.Expr)):
                continue  # examples and test calls; definitions are what a completion is asked for
            first = min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", ()))])
            piece = lines[first - 1 : node.end_lineno]
            piece[-1] = piece[-1][: node.end_col_offset]
            if first == node.lineno:
                piece[0] = piece[0][node.col_offset :]
            self.statements.append((node, b"\n".join(piece).decode("utf-8", "replace")))

    def salvage(self):
        """Takes what parses of broken text: the longest runs of lines that do, from statement start to statement start."""
        lines = self.code.split("\n")
        starts = [number for number, line in enumerate(lines) if line and not line[0].isspace()]
        ends = [*starts[1:], len(lines)]
        position = 0
        attempts = 0
        while position < len(starts) and attempts < _MAX_PARSES and len(self.code) <= _MAX_FALLBACK:
            found = None
            for last in range(position, min(position + 40, len(starts))):
                text = "\n".join(lines[starts[position] : ends[last]])
                tree = syntax.parse(text)
                attempts += 1
                if tree is not None:
                    found = (last, text, tree)
                    break
            if found is None:
                position += 1
                continue
            last, text, tree = found
            while last + 1 < len(starts) and re.match(r"(else|elif|except|finally)\b", lines[starts[last + 1]]):
                longer = "\n".join(lines[starts[position] : ends[last + 1]])
                tree_longer = syntax.parse(longer)
                last += 1
                if tree_longer is not None:
                    text, tree = longer, tree_longer
            self._keep(tree, text)
            position = last + 1

    def function(self, name):
        """The last top-level function of this name, or None."""
        found = [node for node, _ in self.statements if isinstance(node, FUNCTIONS) and node.name == name]
        return found[-1] if found else None

    def defines(self, name):
        """Whether the completion defines the function, be it in broken text."""
        return self.function(name) is not None or name in self.broken

    def returns(self, name):
        """Whether the function is defined and has a return of its own (in broken text: the word)."""
        node = self.function(name)
        if node is None:
            return re.search(r"\breturn\b", self.broken.get(name, "")) is not None
        return any(isinstance(inner, ast.Return) for inner in own_nodes(node))


@functools.lru_cache(maxsize=8)
def read(text):
    """The `Source` of a completion, which is not to be changed; several questions about one completion read it once."""
    return Source(text)


def code_of(text):
    """The fenced code of a completion, all blocks joined, or None without a fence. Fences of other languages do not count."""
    blocks = [(match.group(2).strip().lower(), match.group(3)) for match in _FENCE.finditer(text)]
    named = [block for language, block in blocks if re.match(r"(python|py)\d?\b", language)]
    chosen = named or [block for _, block in blocks]
    return "\n".join(map(textwrap.dedent, chosen)) if chosen else None


def _tidy(text):
    return textwrap.dedent(text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")


def _blocks(text):
    """The text cut before each line that is not indented."""
    blocks = []
    for line in text.split("\n"):
        if blocks and (line == "" or line[0].isspace()):
            blocks[-1].append(line)
        else:
            blocks.append([line])
    return ["\n".join(block) for block in blocks]


def own_nodes(function):
    """The nodes of a function's body, those of functions and classes inside it left out."""
    queue = list(function.body)
    while queue:
        node = queue.pop()
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
            queue.extend(ast.iter_child_nodes(node))


def bound_names(statement):
    """The names a top-level statement binds."""
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return {statement.name}
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(syntax.imported_name(node))
    return names


def prelude_of(prompt, entry_point):
    """What the prompt itself defines beside the entry point: imports, constants, classes, helper functions.

    A prompt is no answer: it may end in the head of a function or have words between its code, and what parses of it counts.
    """
    source = Source(prompt)
    if source.is_broken:
        source.salvage()
    return [(node, text) for node, text in source.statements if entry_point not in bound_names(node)]


def join(*groups):
    """One program of several groups of statements, `from __future__` imports first."""
    early, late = [], []
    for group in groups:
        for node, text in group:
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            (early if future else late).append(text)
    return "\n".join([*dict.fromkeys(early), *late]) + "\n"


def is_aux_call(node):
    """Whether a node is a call of `aux` by its name."""
    return syntax.called_name(node) == "aux"


def uses_aux(function):
    """Whether the function calls aux, or hands it to another call (`map(aux, xs)`); a name of its own does not count."""
    if shadows_aux(function):
        return False
    for node in ast.walk(function):
        if is_aux_call(node):
            return True
        if isinstance(node, ast.Call):
            values = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(isinstance(value, ast.Name) and value.id == "aux" for value in values):
                return True
    return False


def shadows_aux(function):
    """Whether the function gives the name `aux` a meaning of its own."""
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node.id == "aux" and not isinstance(node.ctx, ast.Load):
            return True
        if isinstance(node, ast.arg) and node.arg == "aux":
            return True
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node is not function and node.name == "aux":
            return True
        if isinstance(node, ast.alias) and (node.asname or node.name) == "aux":
            return True
    return False


def is_wrapper(function):
    """Whether the function only hands on what aux gives: nothing, `return ... aux ...`, or `v = aux(...); return v`."""
    body = list(function.body)
    if body and syntax.is_docstring(body[0]):
        body.pop(0)
    body = [node for node in body if not isinstance(node, ast.Pass) and not _is_ellipsis(node)]
    if not body:
        return True
    if len(body) == 1:
        mentions = (isinstance(node, ast.Name) and node.id == "aux" for node in ast.walk(body[0]))
        return isinstance(body[0], ast.Return) and any(mentions)
    if len(body) == 2 and isinstance(body[1], ast.Return) and isinstance(body[1].value, ast.Name):
        targets = body[0].targets if isinstance(body[0], ast.Assign) else [getattr(body[0], "target", None)]
        given = getattr(body[0], "value", None)
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        return is_aux_call(given) and body[1].value.id in names
    return False


def _is_ellipsis(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def ignores_aux(function):
    """Whether the value of a call of aux is lost: a call by itself, or a variable never read or set anew before it is."""
    parents = {child: node for node in ast.walk(function) for child in ast.iter_child_nodes(node)}
    return any(is_aux_call(node) and is_lost(parents[node], function, parents) for node in ast.walk(function))


def is_lost(parent, function, parents):
    """Whether a value is lost in the statement `parent`; `parents` has the parent of each node of the function."""
    if isinstance(parent, ast.Expr):
        return True
    targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target] if isinstance(parent, ast.AnnAssign) else []
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    if not names or len(names) < len(targets):
        return False
    return all(_is_unread(name, parent, function, parents) for name in names)


def _is_unread(name, assignment, function, parents):
    reads = [node for node in ast.walk(function) if is_name(node, name, ast.Load)]
    outside = [node for node in ast.walk(function) if isinstance(node, (ast.Global, ast.Nonlocal)) and name in node.names]
    if outside:
        return False
    if not reads:
        return True
    if any(isinstance(node, (ast.For, ast.While, ast.AsyncFor)) for node in _ancestors(assignment, parents)):
        return False  # a read above it may come after it
    later = [node for node in reads if _place(node) > _place(assignment)]
    if not later:
        return True
    block = _block_of(assignment, parents)
    following = block[block.index(assignment) + 1 :]
    for statement in following:
        if any(is_name(node, name, ast.Load) for node in ast.walk(statement)):
            return False
        if isinstance(statement, ast.Assign) and any(is_name(target, name, ast.Store) for target in statement.targets):
            return True
    return False


def is_name(node, name, context):
    """Whether a node is this name, read (`ast.Load`) or set (`ast.Store`)."""
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, context)


def _place(node):
    return (node.lineno, node.col_offset)


def _ancestors(node, parents):
    while node in parents:
        node = parents[node]
        yield node


def _block_of(statement, parents):
    parent = parents[statement]
    for field in ("body", "orelse", "finalbody"):
        block = getattr(parent, field, None)
        if isinstance(block, list) and statement in block:
            return block
    return [statement]
