def run_lengths(text: str) -> str:
    """Writes each run of equal characters once, followed by its length where that is more than one.

    >>> run_lengths("aaabcc")
    'a3bc2'
    """
    pieces = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and text[end] == text[start]:
            end += 1
        length = end - start
        pieces.append(text[start] + str(length) if length > 1 else text[start])
        start = end
    return "".join(pieces)


def check(candidate):
    assert candidate("aaabcc") == "a3bc2"
    assert candidate("") == ""
    assert candidate("z") == "z"
    assert candidate("abc") == "abc"
    assert candidate("-----------") == "-11"
    assert len(candidate("ab" * 50)) == 100
