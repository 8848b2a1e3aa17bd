"""Which calls of aux in a function have a value that is lost: a call by itself, or a variable never read or set anew before it is.

Each question costs a few look-ups, so that a long function takes time in proportion to its length.
"""
import ast
import bisect

from code_task import programs

_LOOPS = (ast.For, ast.While, ast.AsyncFor)


class LostCalls:
    """What has to be known of a function to tell for each of its calls of aux whether the value is lost."""

    def __init__(self, function):
        self.parents = {}
        self.reads = {}  # places where a name is read, in order
        self.outside = set()  # names that belong to another scope
        self.in_loop = set()
        self.calls = []
        queue = [(function, False)]
        while queue:
            node, in_loop = queue.pop()
            if in_loop:
                self.in_loop.add(node)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
                queue.append((child, in_loop or isinstance(node, _LOOPS)))
            if programs.is_aux_call(node):
                self.calls.append(node)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.reads.setdefault(node.id, []).append(_place(node))
            elif isinstance(node, (ast.Global, ast.Nonlocal)):
                self.outside.update(node.names)
        for places in self.reads.values():
            places.sort()
        self.calls.sort(key=_place)
        self.blocks = {}

    def statement(self, call):
        """The statement in which the value of a call is lost; None if it is not."""
        parent = self.parents.get(call)
        if isinstance(parent, ast.Expr):
            return parent
        targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target] if isinstance(parent, ast.AnnAssign) else []
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        if not names or len(names) < len(targets):
            return None
        return parent if all(self.is_unread(name, parent) for name in names) else None

    def is_unread(self, name, assignment):
        """Whether a variable that an assignment sets is never read, or set anew before it is."""
        if name in self.outside:
            return False
        reads = self.reads.get(name)
        if not reads:
            return True
        if assignment in self.in_loop:
            return False  # a read above it may come after it
        if reads[-1] <= _place(assignment):
            return True
        place, uses = self.block_of(assignment)
        following = uses.get(name, ())
        position = bisect.bisect_right(following, (place, True, True))
        return position < len(following) and not following[position][1]

    def block_of(self, statement):
        """The place of a statement in its block, and which statements of the block use a name, by name.

        Of each its place, whether it reads the name, and whether it sets it; one that does both reads it.
        """
        parent = self.parents[statement]
        for field in ("body", "orelse", "finalbody"):
            block = getattr(parent, field, None)
            if isinstance(block, list) and block:
                places, uses = self.blocks.get(id(block)) or self.read_block(block)
                if statement in places:
                    return places[statement], uses
        return 0, {}

    def read_block(self, block):
        """Takes down which statements of a block use which names."""
        uses = {}
        for place, statement in enumerate(block):
            names = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
            for name in names:
                uses.setdefault(name, []).append((place, True, False))
            for target in statement.targets if isinstance(statement, ast.Assign) else ():
                if isinstance(target, ast.Name) and target.id not in names:
                    uses.setdefault(target.id, []).append((place, False, True))
        self.blocks[id(block)] = ({statement: place for place, statement in enumerate(block)}, uses)
        return self.blocks[id(block)]


def _place(node):
    return (node.lineno, node.col_offset)
