"""Which names a function binds, and the frames they live in while a program is read."""
import ast

from sandbox import syntax

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Frame:
    """The names of one function, comprehension or module with what is known of their values."""

    __slots__ = ("names", "values", "outer", "returns", "yields", "base", "node")

    def __init__(self, names, outer=None, node=None, base=0):
        self.names = names
        self.values = {}
        self.outer = outer
        self.node = node
        self.base = base  # where the context of this function begins
        self.returns = []
        self.yields = []

    def owner_of(self, name):
        """The frame a name belongs to; None if no frame binds it."""
        frame = self
        while frame is not None and name not in frame.names:
            frame = frame.outer
        return frame


def parameters_of(function):
    """The parameters in order, `*` and `**` ones last."""
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    return positional, given.kwonlyargs, given.vararg, given.kwarg


def names_of(function):
    """The names that are local to a function."""
    positional, keyword_only, vararg, kwarg = parameters_of(function)
    bound = {parameter.arg for parameter in (*positional, *keyword_only, vararg, kwarg) if parameter}
    body = [function.body] if isinstance(function, ast.Lambda) else function.body
    return bound_in(body, bound)


def bound_in(body, bound=()):
    """The names that statements bind in their own scope."""
    bound = set(bound)
    elsewhere = set()
    queue = [(node, False) for node in body]
    while queue:
        node, inside = queue.pop()  # `inside` a comprehension only `:=` binds in this scope
        if isinstance(node, _DEFINITIONS):
            bound.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
        elif isinstance(node, ast.NamedExpr):
            bound.add(node.target.id)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and not inside:
            bound.add(node.id)
        elif isinstance(node, ast.alias):
            bound.add(syntax.imported_name(node))
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif getattr(node, "name", None) and type(node).__name__ in ("MatchAs", "MatchStar"):
            bound.add(node.name)
        inside = inside or isinstance(node, _COMPREHENSIONS)
        queue.extend((child, inside) for child in ast.iter_child_nodes(node))
    return bound - elsewhere


def root_of(node):
    """The name at the root of `a`, `a.b[c]`, or None."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
