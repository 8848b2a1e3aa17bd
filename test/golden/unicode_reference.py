"""Reference for the text measures: what this Python says of every code point that its Unicode version knows.

Writes one JSON document: {"unicode": version, "space": [...], "word": [...], "lower": {code point: text},
"assigned": [[first, last], ...]}, where "lower" holds only what lower() changes. Given texts on stdin (a JSON list), also
"texts": [{"lower": text, "words": text.split(), "unique": sorted distinct words, "length": n}].
"""
import json
import re
import sys
import unicodedata

space, word, lower, assigned = [], [], {}, []
for code in range(0x110000):
    char = chr(code)
    if unicodedata.category(char) in ("Cn", "Cs"):
        continue
    if assigned and assigned[-1][1] == code - 1:
        assigned[-1][1] = code
    else:
        assigned.append([code, code])
    if char.isspace():
        space.append(code)
    if re.fullmatch(r"\w", char):
        word.append(code)
    if char.lower() != char:
        lower[code] = char.lower()

texts = [
    {"lower": t.lower(), "words": t.split(), "unique": sorted(set(re.findall(r"\w+", t.lower()))), "length": len(t)}
    for t in json.load(sys.stdin)
]
json.dump(
    {"unicode": unicodedata.unidata_version, "space": space, "word": word, "lower": lower, "assigned": assigned, "texts": texts},
    sys.stdout,
)
