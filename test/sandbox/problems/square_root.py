def square_root(value: float, tolerance: float = 1e-9) -> float:
    """The square root of a number by halving an interval, as exact as `tolerance`.

    Raises ValueError if the number is negative.

    >>> round(square_root(2.0), 6)
    1.414214
    """
    if value < 0:
        raise ValueError("negative")
    low = 0.0
    high = max(1.0, value)
    for _ in range(200):
        middle = (low + high) / 2
        if high - low <= tolerance:
            break
        if middle * middle > value:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def check(candidate):
    assert abs(candidate(2.0) - 1.4142135623) < 1e-6
    assert abs(candidate(0) - 0) < 1e-6
    assert abs(candidate(0.25) - 0.5) < 1e-6
    assert abs(candidate(1e6) - 1000) < 1e-6
    assert abs(candidate(100.0, tolerance=4) - 10) < 4
    try:
        candidate(-1.0)
        refused = False
    except ValueError:
        refused = True
    assert refused
