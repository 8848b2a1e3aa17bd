"""Python text as syntax trees. Nothing here runs the text it looks at."""
import ast
import warnings


def parse(text):
    """The syntax tree, or None if the text is no Python."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def compiled(text):
    """The syntax tree, or None if the text is no Python or the compiler refuses it (a `return` outside a function)."""
    tree = parse(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tree and compile(tree, "<program>", "exec", dont_inherit=True) and tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def called_name(node):
    """The name that a node calls: `f` for `f(x)`; None if it is no call, or one of something else than a name."""
    return node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None


def imported_name(alias):
    """The name that one part of an import statement binds."""
    return (alias.asname or alias.name).split(".")[0]


def is_docstring(statement):
    """Whether a statement is just a text; as the first one of a function it documents it."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
