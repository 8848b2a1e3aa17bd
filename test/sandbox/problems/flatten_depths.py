def flatten_depths(tree, limit=None):
    """Flattens nested lists and tuples to pairs of a value and its depth, from left to right. Nothing deeper than `limit` is kept.

    >>> flatten_depths([1, [2, [3]], ()])
    [(1, 1), (2, 2), (3, 3)]
    """

    def walk(node, depth):
        if limit is not None and depth > limit:
            return []
        if not isinstance(node, (list, tuple)):
            return [(node, depth)]
        found = []
        for child in node:
            found += walk(child, depth + 1)
        return found

    return walk(tree, 0)


def check(candidate):
    assert candidate([1, [2, [3]], ()]) == [(1, 1), (2, 2), (3, 3)]
    assert candidate(7) == [(7, 0)]
    assert candidate([]) == []
    assert candidate([1, [2, [3]], 4], 1) == [(1, 1), (4, 1)]
    assert candidate(["ab", (None, [True])]) == [("ab", 1), (None, 2), (True, 3)]
    assert candidate([[[0]]], limit=0) == []
