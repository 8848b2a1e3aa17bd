"""Reads a program in the order it would run and takes down where values of aux go. Nothing is ever run.

An abstract interpretation: each expression has a `Value` (what it is known to come from), branches are read one after the
other and joined, loops are read twice, functions of the program are read where they are called. Code behind a `return` and
functions that nobody calls are therefore never seen, and a name that is set anew forgets what it was.
"""
import ast
from collections import namedtuple

from cooperation import calls, guards, names, scopes
from cooperation.scopes import Frame
from cooperation.values import AUX, NONE, UNKNOWN, Value, is_independent, join, mix, parameter, part_of
from sandbox import syntax

MAX_STEPS = 40_000  # expressions and statements read; a completion has a few hundred
_NEW_SCOPE = {"ListComp": "elt", "SetComp": "elt", "GeneratorExp": "elt", "DictComp": "value"}

# Something that happens to the result. kind: return, yield, mutate (of an argument), raise, break, continue, assign, add
# (to something there already), value (of one arm), instead (set anew on one side only). context: (guard, side) pairs.
Event = namedtuple("Event", "kind value context unit")

ANY = "any"  # in place of a guard's key: reached in one of several ways, each of them (guard, side) pairs


def sides_of(context):
    """All (guard, side) pairs of a context."""
    for key, side in context:
        if key == ANY:
            for way in side:
                yield from sides_of(way)
        else:
            yield key, side


class TooComplex(Exception):
    """The program is too large to be read."""


class Reader(names.Names, calls.Calls):
    """Reads the entry point of a program; see the attributes for what is known afterwards."""

    def __init__(self, tree, entry_point, helper):
        self.entry_point = entry_point
        self.changes = changed_by(helper)
        self.summaries = {}
        self.recursive = set()
        for _ in range(3):
            known = len(self.recursive)
            self.start(tree, helper is not None)
            if len(self.recursive) == known:
                break

    def start(self, tree, has_aux):
        """Reads the whole program, then the entry point with its arguments."""
        self.steps = 0
        self.sites = {}  # calls of aux, and places where it is handed over, by key
        self.guards = {}
        self.events = []
        self.gathered = set()  # calls whose values are put together
        self.meetings = []  # sets of calls whose values meet in one operation
        self.dispatches = set()  # calls whose value picks from a table of computations
        self.context = []
        self.loops = 0
        self.tries = []
        self.control = [frozenset()]  # calls that decide how often a loop runs
        self.exits = []
        self.stack = []
        self.methods = {}
        self.attributes = {}
        self.defaults = {}
        self.unit = self.entry = None
        self.module = self.frame = Frame(scopes.bound_in(tree.body) | {"aux"})
        if has_aux:
            self.module.values["aux"] = AUX
        self.block(tree.body)
        entry = self.module.values.get(self.entry_point, UNKNOWN).functions
        self.entry = entry[-1][0] if entry else None
        self.events = [event for event in self.events if event.kind != "return"]
        if entry:
            node, frame, _ = entry[-1]
            positional, keyword_only, vararg, kwarg = scopes.parameters_of(node)
            given = [each for each in (*positional, *keyword_only, vararg, kwarg) if each]
            values = {each.arg: parameter(each.arg) for each in given}
            for name, default in self.defaults.get(id(node), {}).items():
                if default.is_aux or default.functions:
                    values[name] = join(values[name], default)
            self.run(node, frame, values)

    # Bookkeeping.

    def tick(self):
        """Counts a step. Raises `TooComplex` after too many."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise TooComplex

    def record(self, kind, value):
        """Takes down an event under the guards it happens behind."""
        for _ in sides_of(self.context):  # each event is looked at with everything that it happens behind
            self.tick()
        start = self.function_frame().base if kind == "return" else 0
        self.events.append(Event(kind, value, tuple(self.context[start:]), self.unit))

    def function_frame(self):
        """The frame of the function being read (or of the module), around those of classes and comprehensions."""
        frame = self.frame
        while frame.outer is not None and frame.node is None:
            frame = frame.outer
        return frame

    def guard(self, node, kind, atoms, sites=()):
        """Registers a place where control depends on aux; None if it does not."""
        if not atoms and not sites:
            return None
        guard = self.guards.setdefault((id(node), kind), guards.Guard((id(node), kind), kind, self.unit))
        guard.atoms.update(atoms)
        guard.calls.update(sites, *(atom.calls for atom in atoms))
        return guard

    def side(self, guard, name, action, *arguments):
        """Does something within one side of a guard."""
        if guard is None:
            return action(*arguments)
        self.context.append((guard.key, name))
        try:
            return action(*arguments)
        finally:
            self.context.pop()

    def test(self, node, atoms, holds=True):
        """Reads a test, adding what it asks of aux to `atoms`."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.test(node.operand, atoms, not holds)
        if isinstance(node, ast.BoolOp):
            return mix([self.test(part, atoms, holds) for part in node.values])
        value = self.eval(node)
        if value.calls:
            leaf = node.value if isinstance(node, ast.NamedExpr) else node
            atoms.append(guards.classify(self, leaf, value, holds))
        return value

    def merge(self, guard, first, second, names=("body", "else")):
        """The names after two branches. A name that one of them sets without aux is an alternative to aux's value."""
        self.steps += len(second) >> 4
        merged = dict(first)
        for name, other in second.items():
            mine = first.get(name)
            if mine is not None and guard is not None:
                for value, rest, side in ((mine, other, names[0]), (other, mine, names[1])):
                    if is_independent(value) and not is_independent(rest):
                        self.side(guard, side, self.record, "instead", value)
            merged[name] = other if mine is None else join(mine, other)
        return merged

    # Statements. Each method returns whether the next one can be reached.

    def block(self, statements):
        """Reads statements in order, up to one that the next cannot be reached from."""
        depth = len(self.context)
        alive = True
        for statement in statements:
            if not alive:
                break
            self.tick()
            method = getattr(self, "do_" + type(statement).__name__, None)
            alive = True if method is None else method(statement)
        self.rest = tuple(self.context[depth:])  # under what the end of the block is reached
        del self.context[depth:]
        return alive

    def branches(self, guard, sides):
        """Reads alternatives, `(side, body)` each, and goes on with those that end alive."""
        before = self.frame.values
        ends = []
        for name, body in sides:
            self.frame.values = dict(before)
            if self.side(guard, name, self.block, body):
                ends.append((name, self.frame.values, self.rest))
        return self.go_on(guard, ends, len(sides))

    def go_on(self, guard, ends, count):
        """Goes on behind alternatives with those that end alive: side, names, and what else the end depends on."""
        if not ends:
            return False
        name, after, rest = ends[0]
        for other, values, _ in ends[1:]:
            after = self.merge(guard, after, values, (name, other))
        self.frame.values = after
        if len(ends) < count or any(rest for _, _, rest in ends):
            ways = [(*([(guard.key, name)] if guard else ()), *rest) for name, _, rest in ends]
            if len(ways) == 1:
                self.context.extend(ways[0])
            elif all(ways):
                self.context.append((ANY, tuple(ways)))
        return True

    def do_If(self, node):
        atoms = []
        self.test(node.test, atoms)
        constant = _truth_of(node.test)
        if constant is not None:
            return self.block(node.body if constant else node.orelse)
        return self.branches(self.guard(node, "if", atoms), [("body", node.body), ("else", node.orelse)])

    def do_Match(self, node):
        subject = self.eval(node.subject)
        atoms = []
        if subject.calls:
            nothing = [str(number) for number, case in enumerate(node.cases) if _is_none_pattern(case.pattern)]
            atoms.append(guards.Atom("none" if nothing else "other", subject.calls, tuple(nothing)))
        for case in node.cases:
            for part in ast.walk(case.pattern):
                if type(part).__name__ in ("MatchAs", "MatchStar") and part.name:
                    self.bind(part.name, subject if part is case.pattern else part_of(subject))
            if case.guard is not None:
                self.test(case.guard, atoms)
        sides = [(str(number), case.body) for number, case in enumerate(node.cases)]
        last = node.cases[-1] if node.cases else None
        if last is None or last.guard is not None or getattr(last.pattern, "pattern", 0) is not None:
            sides.append(("none of them", []))
        return self.branches(self.guard(node, "match", atoms), sides)

    def loop(self, node, body, again):
        """Reads a loop twice; `again` is called before each round."""
        self.loops += 1
        self.exits.append([])
        try:
            for _ in range(2):
                before = self.frame.values
                self.frame.values = dict(before)
                again()
                ends = [self.frame.values] if self.block(body) else []
                ends += [values for kind, values in self.exits[-1] if kind == "continue"]
                self.frame.values = dict(before)
                for values in ends:
                    self.frame.values = self.merge(None, self.frame.values, values)
            left = [values for kind, values in self.exits[-1] if kind == "break"]
        finally:
            self.loops -= 1
            self.exits.pop()
        goes_on = self.block(node.orelse) if node.orelse else True
        for values in left:
            self.frame.values = self.merge(None, self.frame.values, values)
        return goes_on or bool(left), bool(left)

    def do_For(self, node):
        iterable = self.eval(node.iter)
        self.control.append(iterable.calls)
        try:
            return self.loop(node, node.body, lambda: self.assign(node.target, part_of(iterable)))[0]
        finally:
            self.control.pop()

    do_AsyncFor = do_For

    def do_While(self, node):
        constant = _truth_of(node.test)
        if constant is False:
            return self.block(node.orelse)
        self.control.append(frozenset())
        depth = len(self.context)

        def again():
            del self.context[depth:]
            atoms = []
            sites = len(self.sites)
            asked = any(isinstance(part, ast.Call) and self.eval(part.func).is_aux for part in ast.walk(node.test))
            value = self.test(node.test, atoms)
            if asked or len(self.sites) > sites:  # aux is asked whether to go on
                guard = self.guard(node, "while", atoms)
                if guard is not None:
                    self.context.append((guard.key, "body"))
            else:  # the loop works on what aux gave
                self.control[-1] = value.calls

        try:
            alive, was_left = self.loop(node, node.body, again)
        finally:
            self.control.pop()
            del self.context[depth:]
        return was_left if constant else alive

    def do_Break(self, _node):
        if self.exits:
            self.exits[-1].append(("break", self.frame.values))
        self.record("break", NONE)
        self.search()
        return False

    def do_Continue(self, _node):
        if self.exits:
            self.exits[-1].append(("continue", self.frame.values))
        self.record("continue", NONE)
        return False

    def search(self):
        """A loop that is left when aux says so puts its values together."""
        if self.loops:
            for key, _side in sides_of(self.context):
                if self.guards[key].kind != "try":
                    self.gathered |= self.guards[key].calls

    def do_Try(self, node):
        before = self.frame.values
        self.frame.values = dict(before)
        self.tries.append(id(node))
        alive = self.block(node.body)
        self.tries.pop()
        inside = {key for key, site in self.sites.items() if id(node) in site.tries}
        guard = self.guard(node, "try", (), inside)
        if alive and node.orelse:
            alive = self.side(guard, "body", self.block, node.orelse)
        ends = [("body", self.frame.values, self.rest)] if alive else []
        for handler in node.handlers:
            self.frame.values = dict(before)
            if handler.name:
                self.bind(handler.name, UNKNOWN)
            if self.side(guard, "handler", self.block, handler.body):
                ends.append(("handler", self.frame.values, self.rest))
        alive = self.go_on(guard, ends, 1 + len(node.handlers))
        if not alive:
            self.frame.values = before
        return self.block(node.finalbody) and alive

    do_TryStar = do_Try

    def do_With(self, node):
        suppresses = False
        for item in node.items:
            value = self.eval(item.context_expr)
            callee = getattr(item.context_expr, "func", None)
            suppresses |= "suppress" in (getattr(callee, "id", None), getattr(callee, "attr", None))
            if item.optional_vars is not None:
                self.assign(item.optional_vars, value)
        if not suppresses:
            return self.block(node.body)
        handler = ast.ExceptHandler(None, None, [ast.Pass()])
        self.keep = [*getattr(self, "keep", ()), handler]
        attempt = ast.Try(node.body, [handler], [], [])
        self.keep.append(attempt)  # its id is a key: it must outlive this method
        return self.do_Try(attempt)

    do_AsyncWith = do_With

    def do_Return(self, node):
        value = NONE if node.value is None else self.eval(node.value)
        self.give("return", value)
        self.search()
        return False

    def give(self, kind, value):
        """Takes down a result of the function being read."""
        if self.unit is self.entry_node() and value.functions:
            for node, frame, bound in value.functions:  # a function is returned: what it gives is the result
                value = join(value._replace(functions=()), self.inline(node, frame, bound, [Value(natures=frozenset({"part"}))], {}))
        self.record(kind, value)
        frame = self.function_frame()
        (frame.yields if kind == "yield" else frame.returns).append(value)

    def entry_node(self):
        """The function at the bottom of the stack: the entry point while it is read, else whatever runs at the top level."""
        return self.stack[0] if self.stack else None

    def do_Raise(self, node):
        value = mix([self.eval(part) for part in (node.exc, node.cause) if part is not None])
        self.record("raise", value)
        return False

    def do_Assert(self, node):
        atoms = []
        self.test(node.test, atoms)
        guard = self.guard(node, "assert", atoms)
        if guard is not None:
            self.side(guard, "else", self.record, "raise", NONE)
        return _truth_of(node.test) is not False

    def do_Expr(self, node):
        self.eval(node.value)
        return True

    def do_Assign(self, node):
        value = self.eval(node.value)
        for target in node.targets:
            self.assign(target, value, node.value)
        return True

    def do_AnnAssign(self, node):
        if node.value is not None:
            self.assign(node.target, self.eval(node.value), node.value)
        return True

    def do_AugAssign(self, node):
        added = self.eval(node.value)
        old = self.eval(_as_load(node.target))
        value = self.meet([old, added])
        if self.loops:
            self.gathered |= added.calls
        if is_independent(value):
            value = UNKNOWN
        self.record("add", value)
        self.assign(node.target, value, None, quiet=True)
        return True

    def do_FunctionDef(self, node):
        for decorator in node.decorator_list:
            self.eval(decorator)
        self.keep_defaults(node)
        self.bind(node.name, Value(functions=((node, self.frame, None),)))
        return True

    do_AsyncFunctionDef = do_FunctionDef

    def do_ClassDef(self, node):
        constructors = []
        outer, self.frame = self.frame, Frame(scopes.bound_in(node.body), self.frame)
        for statement in node.body:
            if isinstance(statement, scopes.FUNCTIONS):
                self.keep_defaults(statement)
                is_static = any(getattr(mark, "id", None) == "staticmethod" for mark in statement.decorator_list)
                method = (statement, outer, None if is_static else UNKNOWN)
                known = self.methods.setdefault(statement.name, [])
                if all(each[0] is not statement for each in known):
                    known.append(method)
                if statement.name == "__init__":
                    constructors.append(method)
            else:
                self.block([statement])
        self.frame = outer
        self.bind(node.name, Value(natures=UNKNOWN.natures, functions=tuple(constructors)))
        return True

    def keep_defaults(self, node):
        """Reads the defaults of a function where it is defined."""
        positional, keyword_only, _, _ = scopes.parameters_of(node)
        given = node.args.defaults
        pairs = [*zip(positional[len(positional) - len(given) :], given), *zip(keyword_only, node.args.kw_defaults)]
        self.defaults[id(node)] = {each.arg: self.eval(default) for each, default in pairs if default is not None}

    def do_Import(self, node):
        for alias in node.names:
            self.bind(syntax.imported_name(alias), UNKNOWN)
        return True

    do_ImportFrom = do_Import


def changed_by(helper):
    """The places (numbers and names) of the arguments that the helper changes in place."""
    if helper is None:
        return frozenset()
    names = [each.arg for each in (*helper.args.posonlyargs, *helper.args.args)]
    changed = set()
    for node in ast.walk(helper):
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)):
            changed.add(scopes.root_of(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in calls.MUTATORS:
            changed.add(scopes.root_of(node.func.value))
    rebound = scopes.bound_in(helper.body)
    return frozenset(each for pair in enumerate(names) if pair[1] in changed - rebound for each in pair)


def _truth_of(node):
    """The truth of a constant test, else None."""
    return bool(node.value) if isinstance(node, ast.Constant) else None


def _is_none_pattern(pattern):
    if type(pattern).__name__ == "MatchSingleton":
        return pattern.value is None
    return type(pattern).__name__ == "MatchValue" and guards.is_sentinel(pattern.value)


def _as_load(target):
    """An assignment target as an expression."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    return target
