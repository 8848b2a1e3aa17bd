"""A sandbox worker put together: the fork server, and what the judges behind it can be asked for."""
from functools import partial

from code_task import scoring
from cooperation import cooperation, experiments
from sandbox import server, testing

# By the word a request has under `action`.
ACTIONS = {
    "tests": testing.answer,
    "code": partial(scoring.score, detect=cooperation.detect),
    "diagnose": scoring.diagnose,
    "cooperation": cooperation.answer,
    "experiment": experiments.experiment,
}


def main(config):
    """Serves requests until standard input ends. Never returns."""
    server.serve(config, ACTIONS)
