def ways_to_pay(amount, coins):
    """In how many ways coins of these kinds, any number of each, add up to the amount.

    >>> ways_to_pay(5, [1, 2])
    3
    """
    known = {}

    def count(left, kinds):
        if left == 0:
            return 1
        if left < 0 or kinds == 0:
            return 0
        if (left, kinds) not in known:
            without = count(left, kinds - 1)
            known[left, kinds] = without + count(left - coins[kinds - 1], kinds)
        return known[left, kinds]

    return count(amount, len(coins))


def check(candidate):
    assert candidate(5, [1, 2]) == 3
    assert candidate(0, []) == 1
    assert candidate(7, []) == 0
    assert candidate(3, [2, 4]) == 0
    assert candidate(100, (50, 25, 10, 5)) == 40
    for amount in range(4):
        assert candidate(amount, [1]) == 1
