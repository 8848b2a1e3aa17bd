def rank_players(scores):
    """Ranks players from the highest score to the lowest, equal ones by name: triples (rank, name, score). Equal scores share a
    rank, and the ranks after them are skipped.

    >>> rank_players({"bo": 3, "al": 3, "cy": 1})
    [(1, 'al', 3), (1, 'bo', 3), (3, 'cy', 1)]
    """
    ordered = sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))
    ranked = []
    for place, (name, score) in enumerate(ordered, 1):
        if ranked and ranked[-1][2] == score:
            rank = ranked[-1][0]
        else:
            rank = place
        ranked.append((rank, name, score))
    return ranked


def check(candidate):
    assert candidate({"bo": 3, "al": 3, "cy": 1}) == [(1, "al", 3), (1, "bo", 3), (3, "cy", 1)]
    assert candidate({}) == []
    assert candidate({"x": -2}) == [(1, "x", -2)]
    assert [rank for rank, _, _ in candidate(dict(zip("abcdef", [5, 9, 5, 9, 5, 1])))] == [1, 1, 3, 3, 3, 6]
    assert candidate({"a": 1, "b": 2})[0] == (1, "b", 2)
