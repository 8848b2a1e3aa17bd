"""Prints which Python module of a folder imports which, as JSON pairs; imports inside functions count, and so do looked-up ones.

    python3 test/sandbox/import_graph.py FOLDER
"""
import ast
import json
import pathlib
import sys

BY_NAME = ("__import__", "import_module")


def imports_of(tree):
    """The dotted names a module may load; of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports do not work in a worker"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", None)) in BY_NAME:
            yield from (each.value for each in node.args[:1] if isinstance(each, ast.Constant))
        elif isinstance(node, ast.Subscript) and getattr(node.value, "attr", None) == "modules":
            if isinstance(node.slice, ast.Constant):
                yield node.slice.value


def main(folder):
    root = pathlib.Path(folder)
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for name, path in modules.items():
        found = set(imports_of(ast.parse(path.read_text(encoding="utf-8"))))
        graph[name] = sorted(found & modules.keys())
    print(json.dumps(graph))


main(sys.argv[1])
