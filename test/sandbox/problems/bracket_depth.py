def bracket_depth(text: str) -> int:
    """How deep the brackets (), [] and {} of a text are nested, other characters aside; -1 if they do not match.

    >>> bracket_depth("f(a[0], {})")
    2
    """
    partners = {")": "(", "]": "[", "}": "{"}
    waiting = []
    deepest = 0
    for character in text:
        if character in partners.values():
            waiting.append(character)
            deepest = max(deepest, len(waiting))
        elif character in partners:
            if not waiting or waiting[-1] != partners[character]:
                return -1
            waiting.pop()
    if waiting:
        return -1
    return deepest


def check(candidate):
    assert candidate("f(a[0], {})") == 2
    assert candidate("") == 0
    assert candidate("no brackets") == 0
    assert candidate("(]") == -1
    assert candidate(")") == -1
    assert candidate("((") == -1
    assert candidate("[{()}]" * 3) == 3
