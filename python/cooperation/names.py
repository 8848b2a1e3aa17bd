"""Names and containers of a program that is being read: what is put into them."""
import ast

from cooperation import scopes
from cooperation.values import UNKNOWN, is_independent, join, mix, part_of


class Names:
    """The part of `flow.Reader` that binds names and changes containers."""

    def bind(self, name, value):
        """Gives a name a value, in the frame it belongs to."""
        owner = self.frame.owner_of(name)
        if owner is None or (owner is not self.frame and self.frame.node is not None):
            owner = owner or self.module  # `global` and `nonlocal`: who runs when is not known
            value = join(owner.values.get(name, value), value)
        owner.values[name] = value

    def assign(self, target, value, source=None, quiet=False):
        """Assigns to a target of any form. `source` is the expression of the value, if its parts can be told apart."""
        decided = frozenset().union(*self.control)
        if decided and not value.is_aux:
            value = value._replace(calls=value.calls | decided, changed=True)
        if isinstance(target, ast.Name):
            if not quiet:
                self.record("assign", value)
            self.bind(target.id, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            parts = getattr(source, "elts", None)
            same = isinstance(source, (ast.Tuple, ast.List)) and len(parts) == len(target.elts)
            for number, each in enumerate(target.elts):
                if same and not any(isinstance(part, ast.Starred) for part in (*parts, *target.elts)):
                    self.assign(each, self.eval(parts[number]), parts[number])
                else:
                    self.assign(each, part_of(value))
        elif isinstance(target, ast.Starred):
            self.assign(target.value, value)
        elif isinstance(target, (ast.Attribute, ast.Subscript)):
            parts = [value] if isinstance(target, ast.Attribute) else [value, self.eval(target.slice)]
            if isinstance(target, ast.Attribute):
                self.attributes[target.attr] = join(self.attributes.get(target.attr, value), value)
            self.put(target.value, parts)

    def put(self, container, parts):
        """Something is put into a container (`a[i] = x`, `a.append(x)`) or changes it (`a.sort()`)."""
        self.eval(container)
        added = mix(parts) if parts else UNKNOWN
        decided = frozenset().union(*self.control)
        if decided:
            added = mix([added], added.calls | decided)
        if self.loops:
            self.gathered |= added.calls
        name = scopes.root_of(container)
        owner = None if name is None else self.frame.owner_of(name)
        old = UNKNOWN if owner is None else owner.values.get(name, UNKNOWN)
        if isinstance(container, ast.Attribute):
            known = self.attributes.get(container.attr)
            if known is not None:
                self.attributes[container.attr] = self.meet([known, added])
        is_argument = bool(old.natures & {"parameter", "part"})
        own = added if added.calls or not parts else added._replace(natures=frozenset({"own"}))
        self.record("add", parts[0] if parts and is_independent(added) else own)
        if is_argument:
            self.record("mutate", own)
        if owner is not None:
            new = self.meet([old, added])
            if any(part.is_aux for part in parts):
                new = new._replace(is_aux=True)
            functions = tuple(each for part in (old, *parts) for each in part.functions)
            natures = old.natures | {"own"} if is_argument else new.natures
            owner.values[name] = new._replace(functions=functions[:8], natures=natures)

    def meet(self, operands):
        """`mix`, and notes which calls of aux meet."""
        found = [value.calls for value in operands if value.calls]
        if len(found) > 1:
            self.meetings.append(frozenset().union(*found))
        return mix(operands)
