from typing import List, Tuple


def merge_spans(spans: List[Tuple[int, int]]) -> List[Tuple[int, int]]:
    """Joins the half-open spans that overlap or touch, in ascending order; empty spans vanish.

    >>> merge_spans([(5, 7), (1, 3), (3, 4)])
    [(1, 4), (5, 7)]
    """
    merged = []
    for start, end in sorted(spans):
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            first, last = merged.pop()
            merged.append((first, max(last, end)))
        else:
            merged.append((start, end))
    return merged


def check(candidate):
    assert candidate([(5, 7), (1, 3), (3, 4)]) == [(1, 4), (5, 7)]
    assert candidate([]) == []
    assert candidate([(2, 2), (9, 8)]) == []
    assert candidate([(0, 10), (2, 3)]) == [(0, 10)]
    assert candidate([(-4, -1), (-2, 5), (6, 7)]) == [(-4, 5), (6, 7)]
    spans = [(3, 4), (1, 2)]
    candidate(spans)
    assert spans == [(3, 4), (1, 2)], "the argument stays as it is"
