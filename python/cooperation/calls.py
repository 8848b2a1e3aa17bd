"""Expressions of a program that is being read: what each may be, and above all the calls of aux."""
import ast

from cooperation import scopes
from cooperation.guards import Atom
from cooperation.scopes import Frame
from cooperation.values import AUX, CONSTANT, NONE, OWN, PART, UNKNOWN, Value
from cooperation.values import constant, is_independent, is_trivial, join, mix, part_of

# Functions that keep the elements for which the first argument is true (or false).
FILTERS = {"filter", "filterfalse", "takewhile", "dropwhile"}
# Functions that give the function they are handed again, in another wrapping.
WRAPPERS = {"partial", "lru_cache", "cache", "wraps", "staticmethod"}
# Methods that change the object they are called on.
MUTATORS = set(
    "append appendleft extend extendleft insert add update setdefault push write remove discard pop popleft clear sort "
    "reverse rotate subtract difference_update intersection_update symmetric_difference_update".split()
)
# Functions that change their first argument.
CHANGERS = {"heappush", "heapify", "heappop", "heapreplace", "heappushpop", "insort", "insort_left", "insort_right"}
MAX_DEPTH = 12  # functions within each other
MAKERS = {"list", "dict", "set", "tuple", "frozenset", "str", "int", "float", "bool"}


class Site:
    """A call of aux, or a place where it is handed to another function."""

    __slots__ = ("node", "direct", "arguments", "loop", "units", "tries", "chained")

    def __init__(self, node, direct):
        self.node = node
        self.direct = direct
        self.arguments = []
        self.loop = not direct
        self.units = set()
        self.tries = set()
        self.chained = False  # an argument comes from this same call: aux(aux(...)) by a loop


class Calls:
    """The part of `flow.Reader` that reads expressions."""

    def eval(self, node):
        """The value of an expression; one of no kind known here is an operation on its parts."""
        self.tick()
        method = getattr(self, "eval_" + type(node).__name__, None)
        if method is not None:
            return method(node)
        return self.meet([self.eval(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)])

    def eval_Constant(self, node):
        return constant(repr(node.value)[:80])

    def eval_Name(self, node):
        owner = self.frame.owner_of(node.id)
        return UNKNOWN if owner is None else owner.values.get(node.id, UNKNOWN)

    def eval_Starred(self, node):
        return self.eval(node.value)

    eval_Await = eval_Starred

    def eval_FormattedValue(self, node):
        return mix([self.eval(node.value)])

    def eval_Attribute(self, node):
        base = self.eval(node.value)
        value = part_of(base)._replace(is_aux=False, functions=())
        known = self.attributes.get(node.attr)
        if known is not None:
            value = known if not value.calls else join(value, known)
        methods = self.methods.get(node.attr)
        if methods and not base.is_aux:
            value = value._replace(functions=tuple(each[:2] + (each[2] and base,) for each in methods))
        return value

    def eval_Subscript(self, node):
        base, index = self.eval(node.value), self.eval(node.slice)
        if base.table and index.calls and not base.calls and (not is_trivial(base) or base.is_aux):
            self.dispatches |= index.calls
            return part_of(base)
        if not index.calls:
            is_chosen = base.natures == {CONSTANT} and not index.natures <= {CONSTANT}
            return join(part_of(base), UNKNOWN) if is_chosen else part_of(base)
        return mix([base, index])._replace(functions=base.functions, is_aux=base.is_aux)

    def display(self, parts):
        """The value of a list, tuple, set or dict that is written out."""
        value = self.meet(parts) if parts else NONE
        functions = tuple(each for part in parts for each in part.functions)[:8]
        is_aux = any(part.is_aux for part in parts)
        return value._replace(functions=functions, is_aux=is_aux, table=len(parts) > 1)

    def eval_List(self, node):
        return self.display([self.eval(part) for part in node.elts])

    eval_Tuple = eval_Set = eval_List

    def eval_Dict(self, node):
        for key in node.keys:
            if key is not None:
                self.eval(key)
        return self.display([self.eval(part) for part in node.values])

    def eval_NamedExpr(self, node):
        value = self.eval(node.value)
        self.assign(node.target, value)
        return value

    def eval_Lambda(self, node):
        self.keep_defaults(node)
        return Value(functions=((node, self.frame, None),))

    def eval_IfExp(self, node):
        atoms = []
        self.test(node.test, atoms)
        guard = self.guard(node, "ifexp", atoms)
        arms = []
        for side, arm in (("body", node.body), ("else", node.orelse)):
            value = self.side(guard, side, self.eval, arm)
            if guard is not None:
                self.side(guard, side, self.record, "value", value)
            arms.append(value)
        return join(*arms)

    def eval_BoolOp(self, node):
        atoms = []
        earlier = []
        for operand in node.values[:-1]:
            found = len(atoms)
            self.test(operand, atoms)
            value = self.eval(operand)
            earlier.append(value)
            if len(atoms) == found and value.calls:
                earlier[-1] = mix([value])
        is_or = isinstance(node.op, ast.Or)
        guard = self.guard(node, "bool", atoms)
        side = "else" if is_or else "body"
        last = self.side(guard, side, self.eval, node.values[-1])
        if guard is not None:
            self.side(guard, side, self.record, "value", last)
        joined = last
        for value in earlier:
            joined = join(joined, value)
        if last.calls:
            self.meet([mix([value]) for value in (*earlier, last)])
        if joined.calls and not (is_or and earlier[0].calls):
            return joined._replace(changed=True)  # a condition with aux as one part of it
        return joined

    def eval_Yield(self, node):
        value = NONE if node.value is None else self.eval(node.value)
        if self.loops:
            self.gathered |= value.calls
        self.give("yield", value)
        return UNKNOWN

    eval_YieldFrom = eval_Yield

    # Comprehensions.

    def comprehension(self, node):
        """The value of a comprehension of any kind; its element is read once."""
        inner = Frame(set(), self.frame, None, self.frame.base)
        for generator in node.generators:
            inner.names |= {part.id for part in ast.walk(generator.target) if isinstance(part, ast.Name)}
        depth = len(self.context)
        loops = self.loops
        try:
            filtered = None
            for number, generator in enumerate(node.generators):
                iterable = self.eval(generator.iter)
                if number == 0:
                    self.frame = inner
                    self.loops += 1
                self.assign_quietly(generator.target, part_of(iterable))
                for test in generator.ifs:
                    atoms = []
                    self.test(test, atoms)
                    guard = self.guard(test, "comprehension", atoms)
                    if guard is not None:
                        self.context.append((guard.key, "body"))
                        filtered = guard
            element = self.eval(node.value if isinstance(node, ast.DictComp) else node.elt)
            if isinstance(node, ast.DictComp):
                element = join(element, mix([self.eval(node.key)]))
            if filtered is not None:
                self.record("value", element)
        finally:
            self.frame = inner.outer if self.frame is inner else self.frame
            self.loops = loops
            del self.context[depth:]
        self.gathered |= element.calls
        return element._replace(changed=bool(element.calls), natures=frozenset() if element.calls else frozenset({OWN}))

    eval_ListComp = eval_SetComp = eval_DictComp = eval_GeneratorExp = comprehension

    def assign_quietly(self, target, value):
        """Binds a comprehension's target: nothing of the function changes."""
        kept = len(self.events)
        self.assign(target, value)
        del self.events[kept:]

    # Calls.

    def eval_Call(self, node):
        callee = self.eval(node.func)
        positional = [self.eval(argument) for argument in node.args]
        named = [(keyword.arg, self.eval(keyword.value)) for keyword in node.keywords]
        if callee.is_aux:
            found = self.called(node, [*positional, *(value for _, value in named)])
            for place, argument in [*enumerate(node.args), *((each.arg, each.value) for each in node.keywords)]:
                if place in self.changes and isinstance(argument, ast.Name):
                    self.bind(argument.id, found)  # the helper works in place
            return found if not callee.natures else join(found, UNKNOWN)
        is_spread = any(isinstance(argument, ast.Starred) for argument in node.args)
        if callee.functions:
            return self.called_functions(node, callee, positional, dict(named), is_spread)
        return self.called_elsewhere(node, callee, positional, named)

    def site(self, node, direct):
        """Registers a call of aux, or a place where it is handed over, in the state it is met in."""
        site = self.sites.setdefault(id(node), Site(node, direct))
        site.loop |= self.loops > 0
        site.units.update(self.stack)
        site.tries.update(self.tries)
        return site

    def called(self, node, arguments):
        """A call of aux."""
        site = self.site(node, True)
        site.arguments.append(arguments)
        site.chained |= any(id(node) in argument.calls for argument in arguments)
        return Value(frozenset({id(node)}))

    def called_functions(self, node, callee, positional, named, is_spread):
        """A call of functions of the program: it may be any of them."""
        result = None
        for function, frame, bound in callee.functions:
            given = positional
            if is_spread:  # which parameter gets what is not known
                everything = mix(positional)
                given = [everything] * 8
            value = self.inline(function, frame, bound, given, named)
            if getattr(function, "name", "") == "__init__":
                value = mix([UNKNOWN, *positional, *named.values()])
            result = value if result is None else join(result, value)
        if callee.calls:
            result = mix([result], callee.calls)
        return result

    def called_elsewhere(self, node, callee, positional, named):
        """A call of something that is not part of the program."""
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        values = [*positional, *(value for _, value in named)]
        if any(value.is_aux for value in values):
            return self.handed_over(node, name, positional, values)
        functions = [each for value in values for each in value.functions]
        if functions:
            found = self.handed_functions(node, name, positional, values, functions)
            if found is not None:
                return found
        if isinstance(node.func, ast.Attribute) and name in MUTATORS:
            self.put(node.func.value, values)
            if name == "sort":
                return NONE
        elif name in CHANGERS and node.args:
            self.put(node.args[0], values[1:])
        if isinstance(node.func, ast.Call) and callee.calls:
            return mix([callee, *values])
        value = self.meet([callee._replace(natures=frozenset()) if callee.calls else NONE, *values])
        if value.calls:
            return value
        return NONE if name in MAKERS and value.natures <= {CONSTANT} else UNKNOWN

    def handed_over(self, node, name, positional, values):
        """aux itself is an argument: `map(aux, xs)`, `sorted(xs, key=aux)`."""
        others = [value for value in values if not value.is_aux]
        if name in WRAPPERS:
            return AUX
        if name in MUTATORS and isinstance(node.func, ast.Attribute):
            self.put(node.func.value, values)
            return NONE
        if name in ("zip", "list", "tuple", "iter", "enumerate", "reversed", "getattr"):
            return mix(others)._replace(is_aux=True)
        if name in ("callable", "isinstance", "print", "repr", "str", "type", "id", "hasattr"):
            return UNKNOWN
        site = self.site(node, False)
        calls = frozenset({id(node)})
        site.arguments.append([part_of(value) for value in others])
        if name in FILTERS and positional and positional[0].is_aux:
            return self.filtered(node, calls, "truth", others)
        self.gathered |= calls
        return mix(others, calls)

    def handed_functions(self, node, name, positional, values, functions):
        """A function of the program is an argument: read it with elements of the others. None if aux is not in it."""
        elements = mix([part_of(value) for value in values if not value.functions])
        if elements.natures:
            elements = elements._replace(natures=frozenset({PART}))
        self.loops += 1
        try:
            result = NONE
            for function, frame, bound in functions:
                result = join(result, self.inline(function, frame, bound, [elements] * 4, {}))
        finally:
            self.loops -= 1
        if is_independent(result):
            return None
        if name in WRAPPERS:
            return Value(functions=tuple(functions))
        if name in FILTERS and positional and positional[0].functions:
            form = "other" if result.changed else "truth"
            return self.filtered(node, result.calls, form, [value for value in values if not value.functions])
        self.gathered |= result.calls
        return mix([value._replace(functions=()) for value in values], result.calls)

    def filtered(self, node, calls, form, others):
        """Elements kept or dropped by what aux says of them."""
        guard = self.guard(node, "filter", [Atom(form, calls, ("else",))])
        kept = mix([part_of(value) for value in others])
        if is_independent(kept):
            kept = UNKNOWN
        self.side(guard, "body", self.record, "value", kept)
        return kept

    def inline(self, function, frame, bound, positional, named):
        """Reads a function of the program with the values it is called with; returns what it gives."""
        if bound is not None:
            positional = [bound, *positional]
        names = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
        values = dict(self.defaults.get(id(function), {}))
        values.update(zip(names, positional))
        values.update({name: value for name, value in named.items() if name is not None})
        spread = [value for name, value in named.items() if name is None]
        if function.args.vararg:
            values[function.args.vararg.arg] = mix(positional[len(names) :]) if len(positional) > len(names) else NONE
        if function.args.kwarg:
            values[function.args.kwarg.arg] = mix(spread) if spread else UNKNOWN
        for name in names:
            if spread and name not in values:
                values[name] = mix(spread)
        return self.run(function, frame, values)

    def run(self, function, frame, values):
        """Reads a function's body with values for its parameters."""
        if self.entry is None and getattr(function, "name", "") == self.entry_point:
            return UNKNOWN  # the program tries itself out: its calls say nothing of how the entry point works
        if function in self.stack:
            self.recursive.update(self.stack[self.stack.index(function) :])
            return self.summaries.get(function, UNKNOWN)
        if len(self.stack) >= MAX_DEPTH:
            return mix(list(values.values()))
        inner = Frame(scopes.names_of(function), frame, function, len(self.context))
        inner.values = values
        outer = self.frame, self.unit, self.loops, self.exits, self.control
        self.frame, self.unit, self.exits = inner, function, []
        if function is not self.entry:
            self.control = [frozenset().union(*self.control)]
        self.stack.append(function)
        try:
            if isinstance(function, ast.Lambda):
                value = self.eval(function.body)
                self.give("return", value)
            elif self.block(function.body):
                inner.returns.append(NONE)
        finally:
            self.stack.pop()
            self.frame, self.unit, self.loops, self.exits, self.control = outer
        result = None
        for value in inner.returns:
            result = value if result is None else join(result, value)
        if inner.yields:
            result = mix(inner.yields)
            if is_independent(result):
                result = UNKNOWN
        result = UNKNOWN if result is None else result
        if function in self.recursive:
            known = self.summaries.get(function, result)
            self.summaries[function] = join(known, result)._replace(functions=(), parameters=frozenset())
        return result
