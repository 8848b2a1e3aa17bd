"""How the entry point of a joint completion uses the helper: cooperation schemes, read off syntax trees.

The schemes are those of the MAGRPO paper (arXiv 2508.04652, section on coding collaboration): fallback, decorator,
coordinator, strategy filter; besides them wrapper, ignored, no_call and other. Nothing here runs the text it looks at.
"""
import ast

from code_task import programs
from cooperation import flow, guards
from cooperation.values import is_bare_parameter, is_independent, is_trivial
from sandbox import syntax

LABELS = ("no_call", "ignored", "wrapper", "fallback", "strategy_filter", "coordinator", "decorator", "other")
_RESULTS = ("return", "yield", "mutate")


def detect(aux_text, main_text, entry_point):
    """Labels and features of a joint completion. `primary` is None if there is no entry point to look at."""
    aux = programs.read(aux_text or "")
    main = programs.read(main_text)
    has_aux = aux.function("aux") is not None
    body = [node for node, _ in main.statements if not (has_aux and "aux" in programs.bound_names(node))]
    helper = aux.function("aux")
    try:
        reader = flow.Reader(ast.Module(body, []), entry_point, helper)
        if reader.entry is None:
            return {"primary": None, "labels": [], "features": None}
        features = Features(reader, helper)
        labels = features.labels()
        return {"primary": labels[0], "labels": labels, "features": features.as_dict()}
    except (flow.TooComplex, RecursionError):
        return {"primary": "other", "labels": ["other"], "features": None}


def answer(request, _runner, _static):
    """Answers a request for the readings of several joint completions; nothing is run."""
    return [detect(each["aux"], each["main"], each["entryPoint"]) for each in request["programs"]]


class Features:
    """What the rules are made of, see docs/cooperation.md for each."""

    def __init__(self, reader, helper):
        self.reader = reader
        self.entry = reader.entry
        self.helper = helper
        self.helper_kind = kind_of_helper(helper)
        self.sites = list(reader.sites.values())
        self.outputs = [event for event in reader.events if event.unit is self.entry and event.kind in _RESULTS]
        self.dependent = [event for event in self.outputs if event.value.calls]
        self.returned = frozenset().union(*(event.value.calls for event in self.dependent))
        self.returned_by_unit = {}
        for event in reader.events:
            if event.kind in _RESULTS:
                known = self.returned_by_unit.get(event.unit, frozenset())
                self.returned_by_unit[event.unit] = known | event.value.calls
        self.behind = {}  # events by the guards they happen behind
        for event in reader.events:
            for key in {key for key, _ in flow.sides_of(event.context)}:
                self.behind.setdefault(key, []).append(event)
        self.repeated = {key for key, site in reader.sites.items() if self.is_repeated(site)}
        self.in_loop = bool(self.repeated)
        self.find_arguments()
        self.find_aggregation()
        self.find_guards()
        self.find_alternatives()
        self.find_processing()

    def is_repeated(self, site):
        """Whether the call happens several times: in a loop or by recursion."""
        return site.loop or bool(site.units & self.reader.recursive)

    def find_arguments(self):
        """arg_passthrough and derived_args."""
        direct = [site for site in self.sites if site.direct]
        bare = [all(is_bare_parameter(value) for value in given) for site in direct for given in site.arguments]
        self.passthrough = bool(direct) and len(direct) == len(self.sites) and all(bare)
        for site in direct:
            for given in site.arguments:
                names = [name for value in given for name in value.parameters]
                self.passthrough &= len(names) == len(set(names))
        self.texts = {ast.dump(ast.Tuple([*site.node.args, *(k.value for k in site.node.keywords)])) for site in direct}
        recursive = any(site.units & self.reader.recursive for site in self.sites)
        shares = len(self.texts) > 1 and len(direct) > 1
        self.derived = len(direct) < len(self.sites) or not all(bare) or recursive or shares

    def find_aggregation(self):
        """aggregate: values of different calls, or of one call in a loop, come together."""
        reader = self.reader
        met = [group for group in reader.meetings if len(group) > 1 or group <= self.repeated]
        chained = any(site.chained for site in self.sites)
        self.aggregate = bool(reader.gathered & self.repeated) or bool(met) or chained

    def find_guards(self):
        """guard_validity and guard_selector: for each guard, the sides taken when the value is no good."""
        self.failing = {}
        self.selectors = {}
        for guard in self.reader.guards.values():
            if guard.kind == "try":
                self.failing[guard.key] = {"handler"}
                continue
            used = self.returned | self.returned_by_unit.get(guard.unit, frozenset())
            for atom in guard.atoms:
                if self.is_validity(atom, used):
                    self.failing.setdefault(guard.key, set()).update(atom.fails)
                else:
                    self.selectors[guard.key] = guard
        self.validity = any(self.reader.guards[key].kind != "try" for key in self.failing)
        self.in_try = any(
            self.reader.guards[key].kind == "try" and self.has_handler(key) for key in self.failing
        )

    def is_validity(self, atom, used):
        """Whether a test asks if a value that is part of the result is any good."""
        if atom.form not in guards.VALIDITY_FORMS or not atom.calls & used:
            return False
        return not (atom.form == "truth" and self.helper_kind == "boolean")

    def has_handler(self, key):
        """Whether anything else than an exception comes of a handler."""
        found = (event for event in self.reader.events if event.kind not in ("raise", "break"))
        return any((key, "handler") in flow.sides_of(event.context) for event in found)

    def find_alternatives(self):
        """indep_ret: a result of main's own where aux's value is missing or no good."""
        kinds = (*_RESULTS, "instead", "value", "add")
        self.independent = False
        self.default = False  # a constant or an argument instead
        constants = set()
        for event in self.reader.events:
            if event.kind not in kinds or not is_independent(event.value) or not self.is_failing(event.context):
                continue
            if is_trivial(event.value):
                self.default = True
                constants |= event.value.constants if event.kind == "return" else set()
            else:
                self.independent = True
        self.independent |= len(constants) > 1  # which of them is its own decision
        self.selects = bool(self.reader.dispatches) or any(map(self.selects_by, self.selectors.values()))

    def is_failing(self, context):
        """Whether it is reached only where aux's value is missing or no good."""
        for key, side in context:
            if all(map(self.is_failing, side)) if key == flow.ANY else side in self.failing.get(key, ()):
                return True
        return False

    def selects_by(self, guard):
        """Whether a selector has a branch whose result is main's own."""
        is_value_used = bool(guard.calls & (self.returned | self.returned_by_unit.get(guard.unit, frozenset())))
        kinds = (*_RESULTS, "instead", "value", "add") if is_value_used else (*_RESULTS, "instead", "value", "add", "assign")
        for event in self.behind.get(guard.key, ()):
            if event.kind in kinds and is_independent(event.value):
                if not is_value_used or not is_trivial(event.value):
                    return True
        return False

    def find_processing(self):
        """pre and post."""
        self.changed = any(event.value.changed for event in self.dependent)
        instead = any(event.value.natures and is_trivial(event.value) for event in self.dependent)
        aside = any(event.context and is_independent(event.value) and is_trivial(event.value) for event in self.outputs)
        refused = any(event.kind == "raise" and self.depends(event) for event in self.reader.events)
        self.post = bool(self.dependent) and (self.changed or instead or aside or self.default or refused)
        direct = [site for site in self.sites if site.direct]
        early = any(
            event.kind in ("return", "raise") and event.unit is self.entry and not event.context
            and is_independent(event.value)
            for event in self.reader.events
        )
        altered = any(not is_bare_parameter(value) for site in direct for given in site.arguments for value in given)
        self.pre = bool(direct) and (early or altered)

    def is_effective(self):
        """Whether aux decides anything, without its value being part of the result."""
        if self.reader.dispatches:
            return True
        raised = any(event.kind == "raise" and event.value.calls for event in self.reader.events)
        return raised or any(map(self.depends, self.reader.events))

    def depends(self, event):
        """Whether a test of aux's value decides if it happens."""
        return any(self.reader.guards[key].kind != "try" for key, _ in flow.sides_of(event.context))

    def labels(self):
        """All labels that fit, in the order of the rules; the first is the primary one."""
        if not self.sites:
            return ["no_call"]
        if not self.dependent and not self.is_effective():
            return ["ignored"]
        if self.is_wrapper():
            return ["wrapper"]
        found = []
        if (self.in_try or self.validity) and self.independent and self.dependent:
            found.append("fallback")
        if self.selects:
            found.append("strategy_filter")
        several = len(self.texts) > 1 or self.in_loop
        if several and self.derived and self.aggregate:
            found.append("coordinator")
        elif self.dependent and len(self.repeated) < len(self.sites):
            # The backup itself is no processing.
            if self.pre or (self.changed if "fallback" in found else self.post):
                found.append("decorator")
        return found or ["other"]

    def is_wrapper(self):
        """Whether the entry point does nothing but hand on aux's value."""
        is_plain = all(event.value.calls and not event.value.changed and not event.value.natures for event in self.outputs)
        effects = any(event.context for event in self.reader.events if event.kind not in ("raise", "return"))
        same = self.passthrough and not self.in_loop and len(self.texts) == 1
        return same and is_plain and not effects and not self.pre and not self.post

    def as_dict(self):
        """The features as they leave the sandbox, by the names of `CooperationFeatures` in lib/sandbox/types.ts."""
        returns = [event for event in self.outputs if event.kind == "return"]
        dependent = sum(bool(event.value.calls) for event in returns)
        return {
            "calls": len(self.sites),
            "handedOver": sum(not site.direct for site in self.sites),
            "inLoop": self.in_loop,
            "inTry": self.in_try,
            "recursive": self.entry in self.reader.recursive,
            "returnShare": dependent / len(returns) if returns else 0.0,
            "validityGuard": self.validity,
            "selectorGuard": bool(self.selectors) or bool(self.reader.dispatches),
            "independentReturn": self.independent,
            "argPassthrough": self.passthrough,
            "derivedArgs": bool(self.sites) and self.derived,
            "aggregate": self.aggregate,
            "pre": self.pre,
            "post": self.post,
            "helper": self.helper_kind,
            "mainStatements": size_of(self.entry),
            "helperStatements": size_of(self.helper),
        }


def kind_of_helper(function):
    """What the helper returns: `none` (there is no helper), `boolean`, `constant` (one of some constants) or `value`."""
    if function is None:
        return "none"
    returns = [node.value for node in programs.own_nodes(function) if isinstance(node, ast.Return) and node.value is not None]
    if returns and all(map(guards.is_boolean, returns)):
        return "boolean"
    if returns and all(isinstance(value, ast.Constant) for value in returns):
        return "constant"
    return "value"


def size_of(function):
    """Statements of a function, without docstring and without those that are just a call of aux."""
    if function is None:
        return 0
    if isinstance(function, ast.Lambda):
        return 1
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function]
    first = function.body[0]
    if syntax.is_docstring(first):
        statements.remove(first)
    return sum(not programs.is_aux_call(getattr(node, "value", None)) for node in statements)
