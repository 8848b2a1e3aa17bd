def evaluate_postfix(text):
    """The value of whole numbers with + - * / behind their operands, where / rounds down. None if the text is no such expression
    or divides by zero.

    >>> evaluate_postfix("3 4 + 2 *")
    14
    """
    stack = []
    for word in text.split():
        if word.isdigit():
            stack.append(int(word))
            continue
        if word not in ("+", "-", "*", "/") or len(stack) < 2:
            return None
        right = stack.pop()
        left = stack.pop()
        if word == "+":
            stack.append(left + right)
        elif word == "-":
            stack.append(left - right)
        elif word == "*":
            stack.append(left * right)
        elif right == 0:
            return None
        else:
            stack.append(left // right)
    return stack[0] if len(stack) == 1 else None


def check(candidate):
    assert candidate("3 4 + 2 *") == 14
    assert candidate("8") == 8
    assert candidate("2 9 - 3 /") == -3
    assert candidate("") is None
    assert candidate("1 2") is None
    assert candidate("1 0 /") is None
    assert candidate("1 +") is None
    assert candidate("2 3 ^") is None
