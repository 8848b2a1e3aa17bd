"""Reference for the `paper` rules of the writing rewards, written from the formulas alone, without looking at lib/.

Reads from stdin one JSON document: {"transitions": {category: [phrase]}, "stop_words": [word],
"pairs": [{"task": "tldr" | "arxiv" | "arxiv-current", "first": text, "second": text}]}.
Writes one JSON list: for each pair {"total": x, "parts": [structure, length, unique, consistency, coherence]}.
Needs only Python's standard library.
"""
import json
import re
import sys


def unique_words(text):
    return set(re.findall(r"\w+", text.lower()))


def jaccard(a, b, stop_words):
    x = unique_words(a) - stop_words
    y = unique_words(b) - stop_words
    if not x and not y:
        return 1.0
    return len(x & y) / len(x | y)


def transition_score(text, transitions):
    low = text.lower()
    present = sum(1 for phrases in transitions.values() if any(p in low for p in phrases))
    if present == 0:
        return 0.0
    return min(1.0, 0.4 + min(0.6, 0.05 * (present - 1)))


def tldr_length(x):
    if 1.6 <= x <= 3.2:
        return 1.0
    if 1.1 <= x < 1.6:
        return (x - 1.1) / (1.6 - 1.1)
    if 3.2 < x <= 5.0:
        return 1 - (x - 3.2) / (5.0 - 3.2)
    return None


def arxiv_length(x):
    if 1.0 <= x <= 1.3:
        return 1.0
    if 0.8 <= x < 1.0:
        return (x - 0.8) / (1.0 - 0.8)
    if 1.3 < x <= 1.5:
        return 1 - (x - 1.3) / (1.5 - 1.3)
    return None


def arxiv_current_length(x):
    if 1.3 <= x <= 1.6:
        return 1.0
    if 0.8 <= x < 1.3:
        return (x - 0.8) / (1.3 - 0.8)
    if 1.6 < x <= 2.0:
        return 1 - (x - 1.6) / (2.0 - 1.6)
    return None


def tldr_unique(y):
    if y >= 2.0:
        return 0.5
    if y >= 1.3:
        return 0.5 * (y - 1.3) / (2.0 - 1.3)
    return None


def arxiv_unique(y):
    if 0.7 <= y <= 1.3:
        return 0.5
    if 0.5 <= y < 0.7:
        return 0.5 * (y - 0.5) / (0.7 - 0.5)
    if 1.3 < y <= 1.7:
        return 0.5 * (1 - (y - 1.3) / (1.7 - 1.3))
    return None


TASKS = {
    "tldr": (8, tldr_length, tldr_unique, 0.03, False),
    "arxiv": (128, arxiv_length, arxiv_unique, 0.23, True),
    "arxiv-current": (128, arxiv_current_length, arxiv_unique, 0.23, True),
}


def score(task, a, b, transitions, stop_words):
    least, length_points, unique_points, cap, both = TASKS[task]
    parts = [0.0] * 5
    if not (least <= len(a.split()) <= 256 and least <= len(b.split()) <= 256):
        return parts
    parts[0] = 0.5
    points = length_points(len(b) / len(a))
    if points is None:
        return parts
    parts[1] = points
    if len(unique_words(a)) == 0:
        return parts
    points = unique_points(len(unique_words(b)) / len(unique_words(a)))
    if points is None:
        return parts
    parts[2] = points
    parts[3] = 0.6 * min(jaccard(a, b, stop_words), cap) / cap
    parts[4] = 0.4 * transition_score(a + b if both else b, transitions)
    return parts


def main():
    given = json.load(sys.stdin)
    stop_words = set(given["stop_words"])
    results = []
    for pair in given["pairs"]:
        parts = score(pair["task"], pair["first"], pair["second"], given["transitions"], stop_words)
        results.append({"total": sum(parts), "parts": parts})
    json.dump(results, sys.stdout)


main()
