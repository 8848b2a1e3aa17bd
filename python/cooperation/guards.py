"""What a test that depends on aux asks: whether aux's value is any good, or which way to go.

The form of each test is taken down while a program is read; what it means is decided at the end, when it is known whether
the tested value is part of the result.
"""
import ast
from collections import namedtuple

from cooperation import values
from sandbox import syntax

# form: see FORMS.  calls: the calls of aux it depends on.  fails: the sides taken when the value is no good.
Atom = namedtuple("Atom", "form calls fails")

VALIDITY_FORMS = {
    "none",  # is None, == None
    "sentinel",  # == -1, '' or an empty container; in a display of such
    "type",  # isinstance, type(...)
    "empty",  # len(...) against 0, 1 or another length
    "truth",  # the value by itself
    "sign",  # < 0, >= 0, <= -1, > -1
    "recomputed",  # == with something main has computed
    "member",  # in something that is not aux's
    "predicate",  # handed to another function
}


class Guard:
    """A place where control depends on aux."""

    __slots__ = ("key", "kind", "atoms", "unit", "calls")

    def __init__(self, key, kind, unit):
        self.key = key
        self.kind = kind  # if, ifexp, while, match, comprehension, filter, bool, assert, try
        self.unit = unit
        self.atoms = set()
        self.calls = set()


def classify(reader, node, value, holds):
    """The atom of a test without `not`, `and`, `or`; `holds` is whether a true test leads to the side `body`."""
    form, true_is_good = _form(reader, node)
    if true_is_good is None:
        fails = ("body", "else")
    else:
        fails = ("else",) if true_is_good == holds else ("body",)
    return Atom(form, value.calls, fails)


def _form(reader, node):
    """The form of a test, and whether the value is good if the test is true (None: nobody knows)."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        return _form_of_comparison(reader, node.left, node.ops[0], node.comparators[0])
    if isinstance(node, ast.Call):
        name = syntax.called_name(node)
        if name in ("isinstance", "hasattr", "callable", "issubclass"):
            return "type", True
        if name == "len":
            return "empty", True
        if name == "bool" and len(node.args) == 1:
            return _form(reader, node.args[0])
        value = reader.eval(node)
        return ("truth", True) if value.calls and not value.changed else ("predicate", None)
    if isinstance(node, ast.Compare):
        return "other", None
    return "truth", True


def _form_of_comparison(reader, left, operator, right):
    first, second = reader.eval(left), reader.eval(right)
    if first.calls and second.calls:
        one = len(first.calls | second.calls) == 1
        return ("recomputed", isinstance(operator, (ast.Eq, ast.Is))) if one else ("other", None)
    if second.calls:
        left, right, first, second = right, left, second, first
        operator = _mirrored(operator)
    equal = isinstance(operator, (ast.Eq, ast.Is))
    unequal = isinstance(operator, (ast.NotEq, ast.IsNot))
    if equal or unequal:
        if _is_length(left):
            return "empty", unequal if _is_number(right, (0,)) else equal
        if syntax.called_name(left) == "type":
            return "type", equal
        if isinstance(right, ast.Constant) and right.value is None:
            return "none", unequal
        if is_sentinel(right):
            return "sentinel", unequal
        if not values.is_trivial(second):
            return "recomputed", equal
        return "other", None
    if isinstance(operator, (ast.In, ast.NotIn)):
        inside = isinstance(operator, ast.In)
        if isinstance(right, (ast.Tuple, ast.List, ast.Set)):
            sentinels = all(is_sentinel(item) or getattr(item, "value", 0) is None for item in right.elts)
            return ("sentinel", not inside) if sentinels else ("other", None)
        return ("member", inside) if first.calls and values.CONSTANT not in second.natures else ("other", None)
    if _is_length(left) and (_is_number(right, (0, 1)) or _is_length(right)):
        return "empty", isinstance(operator, (ast.Gt, ast.GtE))
    if isinstance(operator, (ast.Lt, ast.GtE)) and _is_number(right, (0,)):
        return "sign", isinstance(operator, ast.GtE)
    if isinstance(operator, (ast.LtE, ast.Gt)) and _is_number(right, (-1,)):
        return "sign", isinstance(operator, ast.Gt)
    return "other", None


def _mirrored(operator):
    pairs = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}
    return pairs.get(type(operator), type(operator))()


def _is_length(node):
    return syntax.called_name(node) == "len"


def _literal(node):
    """The value of an expression that is written out; None for any other."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None


def _is_number(node, numbers):
    value = _literal(node)
    return type(value) in (int, float) and value in numbers


def is_sentinel(node):
    """-1, '' or an empty container."""
    if syntax.called_name(node) and not node.args and not node.keywords:
        return node.func.id in ("list", "dict", "set", "tuple", "str")
    value = _literal(node)
    return (type(value) in (str, bytes, list, tuple, dict, set) and not value) or (type(value) is int and value == -1)


def is_boolean(node):
    """Whether an expression of the helper is a truth value by its form."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, bool)
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.Not)
    if isinstance(node, ast.BoolOp):
        return all(map(is_boolean, node.values))
    if isinstance(node, ast.IfExp):
        return is_boolean(node.body) and is_boolean(node.orelse)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        return name in ("any", "all", "bool", "isinstance", "aux", "startswith", "endswith") or name.startswith("is")
    return isinstance(node, ast.Compare)
