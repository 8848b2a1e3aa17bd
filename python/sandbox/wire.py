"""Frames and values between the processes of a sandbox worker.

A frame is a 4-byte big-endian length and that many bytes of JSON. Values cross as plain data only: exact builtin types,
written as a graph of numbered containers, so that aliases, cycles and in-place changes of arguments survive the crossing
while no code and no foreign object can.
"""
import json
import os
from collections import deque
from decimal import Decimal
from fractions import Fraction

MAX_FRAME = 1 << 24

# Without `parse_constant` all NaN are one object, which is in a list of itself.
_from_json = json.JSONDecoder(parse_constant=float).decode
_to_json = json.JSONEncoder(separators=(",", ":")).encode
_SMALL = 1 << 62
_MUTABLE = {list: "list", dict: "dict", set: "set", bytearray: "bytearray", deque: "deque"}
_EMPTY = {name: kind for kind, name in _MUTABLE.items()}


class NotPlain(Exception):
    """A value that cannot cross as plain data."""


class BadFrame(Exception):
    """The other side sent something that is not a valid frame."""


def read_exactly(descriptor, count):
    """Reads `count` bytes, or returns None at the end of the stream."""
    pieces = []
    while count > 0:
        piece = os.read(descriptor, min(count, 1 << 20))
        if not piece:
            return None
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def read_frame(descriptor):
    """Reads one frame of a trusted sender, blocking; None at the end of the stream."""
    head = read_exactly(descriptor, 4)
    if head is None:
        return None
    body = read_exactly(descriptor, int.from_bytes(head, "big"))
    return None if body is None else from_json(body)


def from_json(body):
    """The message in the body of a frame. Raises ValueError or RecursionError if there is none."""
    return _from_json(body.decode())


def pack(message):
    """The bytes of one frame."""
    body = _to_json(message).encode("ascii")
    return len(body).to_bytes(4, "big") + body


def write_frame(descriptor, message):
    """Writes one frame, blocking."""
    data = memoryview(pack(message))
    while data:
        data = data[os.write(descriptor, data) :]


def encode(roots, known=(), foreign=None, table=None):
    """Writes values as `{"roots": [...], "nodes": [[index, kind, ...], ...]}`; fills `table` with the containers by index.

    `known` are containers both sides have already, by index: they are referred to, and the present content of the mutable
    ones is written again. `foreign(value)` may return a node (kind and items) for what is not plain; without it, or when
    it returns None, `NotPlain` is raised. Immutable nodes are written after everything immutable they hold.
    """
    index = {id(value): number for number, value in enumerate(known)}
    alive = [] if table is None else table
    alive.extend(known)
    queue = [(number, value) for number, value in enumerate(known) if type(value) in _MUTABLE]
    nodes = []

    def number_of(value):
        index[id(value)] = len(alive)
        alive.append(value)
        return len(alive) - 1

    def refer(value):
        kind = type(value)
        if value is None or kind is bool or kind is float or kind is str:
            return value
        if kind is int and -_SMALL < value < _SMALL:
            return value
        if id(value) in index:
            return [index[id(value)]]
        if kind in _MUTABLE:
            number = number_of(value)
            queue.append((number, value))
            return [number]
        if kind is tuple:
            node = ["tuple", *map(refer, value)]
        elif kind is frozenset:
            node = ["frozenset", *map(refer, value)]
        elif kind is range:
            node = ["range", refer(value.start), refer(value.stop), refer(value.step)]
        else:
            node = _leaf(value, kind) or (foreign(value, refer) if foreign else None)
            if node is None:
                raise NotPlain(f"a value of class {kind.__name__}")
            if node[0] == "same":
                return node[1]
        number = number_of(value)
        nodes.append([number, *node])
        return [number]

    written = [refer(root) for root in roots]
    position = 0
    while position < len(queue):
        number, value = queue[position]
        position += 1
        nodes.append([number, *_mutable_node(value, refer)])
    return {"roots": written, "nodes": nodes}


def _mutable_node(value, refer):
    kind = type(value)
    if kind is dict:
        items = [refer(part) for pair in value.items() for part in pair]
    elif kind is bytearray:
        items = [value.hex()]
    else:
        items = [refer(part) for part in value]
    if kind is deque:
        items.insert(0, value.maxlen)
    return [_MUTABLE[kind], *items]


def _leaf(value, kind):
    """The node of an immutable value that holds no others; None for any other kind."""
    if kind is int:
        return ["int", hex(value)]
    if kind is bytes:
        return ["bytes", value.hex()]
    if kind is complex:
        return ["complex", value.real, value.imag]
    if kind is Decimal or kind is Fraction:
        return [kind.__name__, str(value)]
    if kind is Ellipsis.__class__:
        return ["ellipsis"]
    return None


def decode(graph, known=(), foreign=None):
    """Reads what `encode` wrote; returns the roots and the list of all containers by index.

    Known mutable containers are changed in place. `foreign(kind, items)` makes the objects of kinds that are not plain.
    Raises `BadFrame` for anything that `encode` would not write.
    """
    try:
        return _decode(graph, known, foreign)
    except BadFrame:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError) as error:
        raise BadFrame(f"not a value graph: {error}") from None


def _decode(graph, known, foreign):
    table = dict(enumerate(known))
    fills = []
    built = []
    for node in graph["nodes"]:
        number, kind = node[0], node[1]
        if type(number) is not int or type(kind) is not str:
            raise BadFrame("a node without number or kind")
        if kind in _EMPTY:
            target = table.get(number)
            if number in table and type(target) is not _EMPTY[kind]:
                raise BadFrame("a container changed its class")
            if target is None:
                target = deque((), node[2]) if kind == "deque" else _EMPTY[kind]()
                table[number] = target
            fills.append((target, kind, node[2:]))
        else:
            built.append((number, kind, node[2:]))

    def value_of(reference):
        return table[reference[0]] if type(reference) is list else reference

    for number, kind, items in built:
        if number in table:
            raise BadFrame("an immutable value was written twice")
        table[number] = _immutable(kind, items, value_of, foreign)
    for target, kind, items in fills:
        values = [value_of(item) for item in (items[1:] if kind == "deque" else items)]
        target.clear()
        if kind == "dict":
            target.update(zip(values[::2], values[1::2]))
        elif kind == "set":
            target.update(values)
        elif kind == "bytearray":
            target.extend(bytes.fromhex(values[0]))
        else:
            target.extend(values)
    roots = [value_of(root) for root in graph["roots"]]
    return roots, [table[number] for number in sorted(table)]


def _immutable(kind, items, value_of, foreign):
    if kind == "tuple":
        return tuple([value_of(item) for item in items])
    if kind == "frozenset":
        return frozenset([value_of(item) for item in items])
    if kind == "int":
        return int(items[0], 16)
    if kind == "bytes":
        return bytes.fromhex(items[0])
    if kind == "complex":
        return complex(items[0], items[1])
    if kind == "range":
        return range(*[value_of(item) for item in items])
    if kind == "Decimal":
        return Decimal(items[0])
    if kind == "Fraction":
        return Fraction(items[0])
    if kind == "ellipsis":
        return ...
    made = foreign(kind, items) if foreign else None
    if made is None:
        raise BadFrame(f"an unknown kind of value: {kind[:40]}")
    return made
