def digit_steps(n: int) -> int:
    """How often the digits of n have to be multiplied with one another until one digit is left.

    >>> digit_steps(39)
    3
    """
    steps = 0
    while n > 9:
        product = 1
        while n > 0:
            product *= n % 10
            n //= 10
        n = product
        steps += 1
    return steps


def check(candidate):
    assert candidate(39) == 3
    assert candidate(4) == 0
    assert candidate(10) == 1
    assert candidate(999) == 4
    assert candidate(77) == 4
    assert candidate(25) == 2
