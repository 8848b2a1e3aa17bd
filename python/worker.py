"""A sandbox worker put together: the fork server, and what the judges behind it can be asked for."""
from functools import partial

from code_task import scoring
from cooperation import cooperation, experiments
from sandbox import rehearsal, server, testing

# By the word a request has under `action`.
ACTIONS = {
    "tests": testing.answer,
    "code": partial(scoring.score, detect=cooperation.detect),
    "diagnose": scoring.diagnose,
    "cooperation": cooperation.answer,
    "experiment": experiments.experiment,
}

_PROMPT = 'from typing import List\n\n\ndef f(xs: List[int]) -> int:\n    """Sum of the squares.\n    >>> f([1, 2])\n    5\n    """\n'
_CODE = {
    "action": "code",
    "rules": "strict",
    "aux": "```python\ndef aux(x):\n    return x * x\n```\n",
    "main": "def f(xs):\n    total = 0\n    for x in xs:\n        total += aux(x)\n    return total\n",
    "prompt": _PROMPT,
    "entryPoint": "f",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 5\n    assert candidate([]) == 0\n    assert candidate((3,)) == 9, 'x'\n",
    "limits": rehearsal.LIMITS,
}
SAMPLES = (_CODE,)


def main(config):
    """Serves requests until standard input ends. Never returns."""
    server.serve(config, ACTIONS, SAMPLES)
