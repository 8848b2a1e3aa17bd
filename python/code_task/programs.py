"""Reads completions as syntax trees: what they define, whether and how the entry point uses aux, and the joint program.

Nothing here runs the text it looks at.
"""
import ast
import functools
import re
import textwrap

from sandbox import syntax

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})(.*)")
_THOUGHT = "</think>"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_FALLBACK = 1 << 16  # characters; longer broken texts are not searched for whole statements
_MAX_PARSES = 3000  # attempts to find them
_DEF = re.compile(r"(?:async\s+)?def\s+(\w+)\s*\(")


class Source:
    """The top-level statements of a completion, in order, each with its source.

    The code is that of the fences, without fences the whole answer: whatever else were forgiven would become a place to write
    anything in. Code that is no Python has no statements: `is_broken` is set, `broken` has its `def` blocks by name.
    """

    def __init__(self, text):
        self.statements = []
        self.broken = {}
        answer = answer_of(text.replace("\r\n", "\n").replace("\r", "\n"))
        fenced = code_of(answer)
        self.code = textwrap.dedent(answer if fenced is None else fenced).strip("\n")
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

    def definition(self, name):
        """The last top-level function of this name with its source, or None twice; `name = lambda ...` is one, too."""
        for node, text in reversed(self.statements):
            if isinstance(node, FUNCTIONS) and node.name == name:
                return node, text
            target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else getattr(node, "target", None)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Lambda) and is_name(target, name):
                return _as_function(name, node.value), text
        return None, None

    def function(self, name):
        """The last top-level function of this name, or None."""
        return self.definition(name)[0]

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


def answer_of(text):
    """What a completion says after it has thought: all behind the last `</think>`; nothing if it never came to an end."""
    if _THOUGHT in text and syntax.compiled(text) is None:
        return text[text.rindex(_THOUGHT) + len(_THOUGHT) :]
    return "" if text.lstrip().startswith("<think>") else text


def code_of(text):
    """The fenced code of an answer, or None without a fence. Fences of other languages do not count.

    Blocks belong together. If they do not compile together, the last one is the answer and what does not compile before it a draft.
    """
    blocks = list(_fenced(text))
    named = [block for language, block in blocks if re.match(r"(python|py)\d?\b", language)]
    chosen = [textwrap.dedent(block) for block in named or [block for _, block in blocks]]
    if len(chosen) > 1 and syntax.compiled("\n".join(chosen)) is None and syntax.compiled(chosen[-1]) is not None:
        chosen = [block for block in chosen if syntax.compiled(block) is not None]
    return "\n".join(chosen) if chosen else None


def _fenced(text):
    """The language and content of each fenced block. A fence is closed by one as long as itself, or by the end (CommonMark)."""
    fence, lines = None, []
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence is None:
            if mark and not (mark[1][0] == "`" and "`" in mark[2]):
                fence, language, lines = mark[1], mark[2].strip().lower(), []
        elif mark and mark[1].startswith(fence) and not mark[2].strip():
            yield language, "".join(lines)
            fence = None
        else:
            lines.append(line + "\n")
    if fence is not None:
        yield language, "".join(lines)


def _as_function(name, function):
    """A lambda written as a `def`."""
    body = ast.copy_location(ast.Return(function.body), function.body)
    made = ast.FunctionDef(name=name, args=function.args, body=[body], decorator_list=[], returns=None, type_params=[])
    return ast.fix_missing_locations(ast.copy_location(made, function))


def is_name(node, name):
    """Whether a node is this name."""
    return isinstance(node, ast.Name) and node.id == name


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
