from collections import defaultdict


def group_anagrams(words, smallest=2):
    """Groups the words made of the same letters, whatever their case: a dictionary from the sorted letters to the words, sorted
    and without repetitions. Groups of fewer than `smallest` words are left out.

    >>> group_anagrams(["tea", "Eat", "dog"])
    {'aet': ['Eat', 'tea']}
    """
    groups = defaultdict(set)
    for word in words:
        letters = "".join(sorted(word.lower()))
        if letters == "":
            continue
        groups[letters].add(word)
    result = {}
    for letters, group in groups.items():
        if len(group) >= smallest:
            result[letters] = sorted(group)
    return result


def check(candidate):
    assert candidate(["tea", "Eat", "dog"]) == {"aet": ["Eat", "tea"]}
    assert candidate([]) == {}
    assert candidate(["on", "on"]) == {}
    assert candidate(["", "a"], 1) == {"a": ["a"]}
    many = candidate(["stop", "pots", "spot", "arm", "ram", "x"])
    assert set(many) == {"opst", "amr"}
    assert many.get("opst") == ["pots", "spot", "stop"]
    assert candidate(["arm", "ram", "mar"], smallest=4) == {}
