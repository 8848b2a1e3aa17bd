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
    """The syntax tree, or None if the text is no Python, what only the compiler refuses included (a `return` outside a function)."""
    tree = parse(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tree and compile(tree, "<program>", "exec", dont_inherit=True) and tree
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
