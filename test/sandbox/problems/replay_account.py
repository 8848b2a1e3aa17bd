def replay_account(events, credit=0):
    """Replays the events of an account, pairs of "in" or "out" and an amount, and returns the balance, the lowest balance and the
    number of refused events. Refused is what would go below -credit, has a negative amount, or is of another kind.

    >>> replay_account([("in", 10), ("out", 4), ("out", 7)])
    (6, 0, 1)
    """

    class Account:
        def __init__(self):
            self.balance = 0
            self.lowest = 0
            self.refused = 0

        def change(self, amount):
            if self.balance + amount < -credit:
                self.refused += 1
                return
            self.balance += amount
            self.lowest = min(self.lowest, self.balance)

    account = Account()
    for kind, amount in events:
        if kind == "in" and amount >= 0:
            account.change(amount)
        elif kind == "out" and amount >= 0:
            account.change(-amount)
        else:
            account.refused += 1
    return account.balance, account.lowest, account.refused


def check(candidate):
    assert candidate([("in", 10), ("out", 4), ("out", 7)]) == (6, 0, 1)
    assert candidate([]) == (0, 0, 0)
    assert candidate([("out", 5), ("in", 2)], 5) == (-3, -5, 0)
    assert candidate([("in", -1), ("out", -1), ("gift", 3)]) == (0, 0, 3)
    assert candidate([("out", 6), ("in", 6), ("out", 6)], credit=5) == (0, 0, 1)
    assert candidate([("in", 1)] * 3)[0] == 3
