SMALL = {"a", "an", "and", "of", "the"}


def capital(word):
    """The word with a capital letter in front."""
    return word[:1].upper() + word[1:].lower()


def tidy_title(title: str, width: int = 40) -> str:
    """Writes the words of a title with a capital letter each, the small ones only at the beginning and the end. Words that do not
    fit into the width are left out, and " ..." follows instead; it counts for the width, too.

    >>> tidy_title("the LORD  of the rings")
    'The Lord of the Rings'
    """
    words = title.split()
    written = []
    for index, word in enumerate(words):
        is_edge = index == 0 or index == len(words) - 1
        if word.lower() in SMALL and not is_edge:
            written.append(word.lower())
        else:
            written.append(capital(word))
    if len(" ".join(written)) <= width:
        return " ".join(written)
    while written and len(" ".join(written)) + 4 > width:
        written.pop()
    return " ".join(written) + " ..."


def check(candidate):
    assert candidate("the LORD  of the rings") == "The Lord of the Rings"
    assert candidate("") == ""
    assert candidate("what is it made of") == "What Is It Made Of"
    assert candidate("one two three", 11) == "One Two ..."
    assert candidate("one two three", width=10) == "One ..."
    assert candidate("one two three", 13) == "One Two Three"
