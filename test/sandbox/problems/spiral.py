from typing import List


def spiral(rows: List[list]) -> list:
    """The values of a rectangle from its top left corner clockwise inwards.

    >>> spiral([[1, 2, 3], [4, 5, 6]])
    [1, 2, 3, 6, 5, 4]
    """
    if not rows or not rows[0]:
        return []
    top, bottom = 0, len(rows) - 1
    left, right = 0, len(rows[0]) - 1
    values = []
    while top <= bottom and left <= right:
        for column in range(left, right + 1):
            values.append(rows[top][column])
        for row in range(top + 1, bottom + 1):
            values.append(rows[row][right])
        if top < bottom and left < right:
            for column in range(right - 1, left - 1, -1):
                values.append(rows[bottom][column])
            for row in range(bottom - 1, top, -1):
                values.append(rows[row][left])
        top += 1
        bottom -= 1
        left += 1
        right -= 1
    return values


def check(candidate):
    assert candidate([[1, 2, 3], [4, 5, 6]]) == [1, 2, 3, 6, 5, 4]
    assert candidate([]) == []
    assert candidate([[]]) == []
    assert candidate([[1], [2], [3]]) == [1, 2, 3]
    assert candidate([[1, 2, 3], [8, 9, 4], [7, 6, 5]]) == list(range(1, 10))
    assert sorted(candidate([[4 * row + column for column in range(4)] for row in range(5)])) == list(range(20))
