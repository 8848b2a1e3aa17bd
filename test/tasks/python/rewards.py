"""Reward functions that the tests call."""
import io
import os
import sys
import time

loads = 0
loads += 1


def lengths(item, completions):
    print("scoring", item["topic"])
    first, second = completions
    return {"total": len(second) - len(first), "parts": {"first": len(first), "stopped": second.finish == "stop"}}


def seen(item, completions):
    one = completions[0]
    assert isinstance(one, str) and one["text"] == one == one.text and one[0] == "a"
    return sum(one.ids) + one.log_prob_sum + one["logProbSum"]


def process(item, completions):
    return os.getpid()


def slow_process(item, completions):
    time.sleep(0.5)
    return os.getpid()


async def later(item, completions):
    return float(len(completions[0]))


def comlrl(completions1, completions2, batch_items=None):
    return [len(completions1[0]) + 10 * len(completions2[0]) + 100 * len(batch_items)]


def trl(completions, topic, **kwargs):
    return [len(text) + len(name) for text, name in zip(completions, topic)]


def returns(item, completions):
    return eval(completions[0])


def raises(item, completions):
    print("about to fail")
    sys.stderr.write("on standard error\n")
    return helper(completions[0])


def helper(text):
    raise ValueError("no reward for " + text)


def redirects(item, completions):
    sys.stdout.write("half")
    sys.stderr = io.StringIO()
    return 1


def sleeps(item, completions):
    if completions[0] == "long":
        time.sleep(60)
    return 1


def leaves(item, completions):
    sys.stderr.write("last words\n")
    os._exit(3)


constant = 3
