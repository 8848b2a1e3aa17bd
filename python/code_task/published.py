"""The text rules of the published code reward, oddities included.

Behaviour follows the reward of the MAGRPO code experiments (arXiv 2508.04652 and its public repository); what is odd about it
is kept on purpose: only `def` blocks survive, nested functions cut the outer one short, `return` and calls are found by text.
"""
import re

_DEF = re.compile(r"(\s*)def\s+\w+\s*\(")
_PROSE = re.compile(r"[A-Z][a-z].*[.!?:]$")
_CODE_SIGNS = ("def ", "return ", "if ", "for ", "while ", "=", "(", ")", "[", "]")
_QUOTES = ('"""', "'''")


def imports_of(prompt):
    """The prompt's import lines, each once."""
    found = {}
    for line in map(str.strip, prompt.split("\n")):
        if re.match(r"from\s+[\w\.]+\s+import\s+.*$", line) or re.match(r"import\s[\w\.,\s]+$", line):
            found[line] = True
    return "\n".join(found)


def _indent(line):
    return len(line) - len(line.lstrip())


def _belongs(line, indent):
    return line.startswith(" " * (indent + 1)) or line.startswith("\t")


def clean(text):
    """Keeps the `def` blocks of a completion and drops sentence-like lines from them."""
    # Fences take the white space after them along, the next line's indentation included.
    text = re.sub(r"```\s*", "", re.sub(r"```python\s*", "", text))
    blocks, indent, is_open = [], 0, False
    lines = iter(text.split("\n"))
    for line in lines:
        bare = line.strip()
        if _DEF.match(line):
            blocks.append([line])
            indent, is_open = _indent(line), True
        elif not is_open:
            continue
        elif bare == "" or _belongs(line, indent):
            blocks[-1].append(line)
        elif bare.startswith(_QUOTES):
            blocks[-1].append(line)
            quote = bare[:3]
            if not (bare.endswith(quote) and len(bare) > 3):
                for line in lines:
                    blocks[-1].append(line)
                    if quote in line:
                        break
        else:
            is_open = False
    joined = "\n\n".join("\n".join(block) for block in blocks)
    kept = "\n".join(line for line in joined.split("\n") if not _is_prose(line)).strip()
    return kept if re.search(r"def\s+\w+\s*\(", kept) else ""


def _is_prose(line):
    bare = line.strip()
    if bare == "" or bare.startswith(("#", *_QUOTES)) or any(sign in line for sign in _CODE_SIGNS):
        return False
    return _PROSE.match(bare) is not None


def function_of(text, name):
    """The block of the function `name`, or an empty string; of several the last one before the first dedent counts."""
    start = re.compile(rf"(\s*)def\s+{re.escape(name)}\s*\(")
    block, indent = [], None
    for line in clean(text).split("\n"):
        if start.match(line):
            block, indent = [line], _indent(line)
        elif indent is not None:
            if line.strip() != "" and not _belongs(line, indent):
                break
            block.append(line)
    return "\n".join(block).strip()


def returns(block):
    """Whether a function's text holds a return."""
    return re.search(r"return\s+", block) is not None


def combine(imports, *blocks):
    """The program: imports and cleaned functions, a blank line apart."""
    return "\n\n".join(part for part in (imports, *map(clean, blocks)) if part)


def tests_of(test, entry_point):
    """Single-line asserts of `check` that mention the candidate, each once, with the candidate's name replaced."""
    check = re.search(r"def check\(candidate\):(.*?)(?=\n\ndef|\Z)", test, re.DOTALL)
    if check is None or not entry_point:
        return []
    lines = (line.strip() for line in check.group(1).strip().split("\n"))
    found = dict.fromkeys(line for line in lines if re.match(r"assert\s+.*candidate", line))
    return [line.replace("candidate", entry_point) for line in found]


def uses_aux(block):
    """Whether a function's text holds what looks like a call of aux."""
    return re.search(r"\baux\s*\(", block) is not None


def is_wrapper(block):
    """Whether nothing but handing on aux's result is left of a function's lines."""
    code, quoted = [], False
    for line in filter(None, map(str.strip, block.split("\n"))):
        if line.startswith(_QUOTES):
            if not (line.endswith(line[:3]) and len(line) > 3):
                quoted = True
        elif quoted:
            quoted = not any(quote in line for quote in _QUOTES)
        elif not line.startswith(("#", "def ")):
            code.append(line)
    if len(code) == 1:
        return code[0].startswith("return ") and "aux" in code[0]
    if len(code) == 2:
        assigned = _assigned_from_aux(code[0])
        return assigned is not None and code[1] == f"return {assigned}"
    return not code


def _assigned_from_aux(line):
    """The word before the first `= aux(` that has one, as `(\\w+)\\s*=\\s*aux\\s*\\(` finds it; that takes time in the square of a long word."""
    for found in re.finditer(r"=\s*aux\s*\(", line):
        head = line[: found.start()].rstrip()
        start = len(head)
        while start > 0 and re.match(r"\w", head[start - 1]):
            start -= 1
        if start < len(head):
            return head[start:]
    return None


def ignores_aux(block):
    """The published penalty's pattern: one blank before the parenthesis and one character inside, alone on a line."""
    return any(re.fullmatch(r"aux\s\([^)]\)", line.strip()) for line in block.split("\n"))
