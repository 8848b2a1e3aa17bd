def rotate_rows(rows, steps):
    """Moves the values of each row to the right, around its end, in place: the first row by `steps`, each further row by one more.

    Returns how many rows changed.

    >>> rows = [[1, 2, 3], [4, 5, 6]]
    >>> rotate_rows(rows, 1), rows
    (2, [[3, 1, 2], [5, 6, 4]])
    """
    changed = 0
    for number, row in enumerate(rows):
        if not row:
            continue
        shift = (steps + number) % len(row)
        before = list(row)
        row[:] = before[len(row) - shift:] + before[:len(row) - shift]
        if row != before:
            changed += 1
    return changed


def check(candidate):
    rows = [[1, 2, 3], [4, 5, 6]]
    assert candidate(rows, 1) == 2
    assert rows == [[3, 1, 2], [5, 6, 4]]
    same = [[1, 2], [], [7, 7, 7], ["a"]]
    assert candidate(same, 0) == 0 and same == [[1, 2], [], [7, 7, 7], ["a"]]
    back = [list("abcd")]
    assert candidate(back, -1) == 1
    assert back[0] == ["b", "c", "d", "a"]
    assert candidate([], 3) == 0
