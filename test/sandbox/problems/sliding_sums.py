def sliding_sums(values, size):
    """Yields the sum of every `size` neighbouring values, from left to right.

    >>> list(sliding_sums([1, 2, 3, 4], 2))
    [3, 5, 7]
    """
    if size < 1:
        return
    window = []
    total = 0
    for value in values:
        window.append(value)
        total += value
        if len(window) > size:
            total -= window.pop(0)
        if len(window) == size:
            yield total


def check(candidate):
    assert list(candidate([1, 2, 3, 4], 2)) == [3, 5, 7]
    assert list(candidate([], 1)) == []
    assert list(candidate([5, -5], 3)) == []
    assert list(candidate([5, -5], 0)) == []
    assert list(candidate((4, 4, 4), 1)) == [4, 4, 4]
    assert sum(candidate(range(10), 10)) == 45
    assert max(candidate([1, 0.5, 0.25], 2)) == 1.5
