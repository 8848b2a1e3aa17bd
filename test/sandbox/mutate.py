"""Makes wrong programs out of right ones: small changes of a syntax tree, each at a place that the seed picks.

    python3 test/sandbox/mutate.py COUNT SEED < sources.json

Standard input has a JSON list of sources, each with the name of the function to change; standard output a JSON list of [number of the source, changed source], all different.
"""
import ast
import copy
import json
import random
import sys

COMPARISONS = [ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq]
OPERATIONS = [ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod]


def changes(node, rng):
    """Does one change to a node; False if there is none for it."""
    if isinstance(node, ast.Compare):
        kinds = COMPARISONS if type(node.ops[0]) in COMPARISONS else [ast.In, ast.NotIn, ast.Is, ast.IsNot]
        node.ops[0] = rng.choice([kind for kind in kinds if not isinstance(node.ops[0], kind)])()
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATIONS:
        node.op = rng.choice([kind for kind in OPERATIONS if not isinstance(node.op, kind)])()
    elif isinstance(node, ast.BoolOp):
        node.op = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        node.value += rng.choice([-1, 1])
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        node.value = not node.value
    elif isinstance(node, ast.Constant) and type(node.value) is str:
        node.value = rng.choice(["", node.value + "x", node.value.upper(), node.value[1:]])
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Return) and node.value is not None:
        node.value = rng.choice([ast.Constant(None), ast.Constant(0), ast.List([], ast.Load()), ast.List([node.value], ast.Load())])
    elif isinstance(node, ast.Call) and len(node.args) > 1:
        node.args.reverse()
    elif isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords and isinstance(node.func, ast.Name):
        node.func = ast.Name(rng.choice(["list", "len", "sum", "sorted", "str", "set", "max", "min", "abs"]), ast.Load())
    elif isinstance(node, ast.Subscript):
        node.slice = ast.Constant(rng.choice([0, -1, 1]))
    elif isinstance(getattr(node, "body", None), list) and len(node.body) > 1:
        node.body.pop(rng.randrange(len(node.body)))
    else:
        return False
    return True


def mutant(source, name, rng):
    """A changed source, or None."""
    tree = copy.deepcopy(ast.parse(source))
    for node in ast.walk(tree):  # docstrings decide nothing
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body.pop(0)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    nodes = [node for function in functions[-1:] for node in ast.walk(function)]
    before = ast.unparse(tree)
    for node in rng.sample(nodes, len(nodes)):
        if changes(node, rng):
            after = ast.unparse(ast.fix_missing_locations(tree))
            return after if after != before else None
    return None


def main(count, seed):
    sources = json.load(sys.stdin)
    rng = random.Random(seed)
    made = {}
    for attempt in range(20 * count):
        number = attempt % len(sources)
        changed = mutant(*sources[number], rng)
        if changed is not None:
            made.setdefault(changed, number)
        if len(made) == count:
            break
    print(json.dumps([[number, source] for source, number in made.items()]))


main(int(sys.argv[1]), int(sys.argv[2]))
