"""The peers' side of the benchmark: a child process that reads one JSON request a line and answers each with a line `@@{...}`.

Requests: prepare (write the models both sides use), gate (write what correctness is judged by), open (set a case up), run (one
repetition), gguf (a model for llama.cpp), peak (most memory so far), versions.
"""

import importlib
import json
import logging
import os
import resource
import sys
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

CASES = {
    "gen": "generate_case",
    "ragged": "generate_case",
    "update": "update_case",
    "step-batched": "step_case",
    "step-rows": "step_case",
    "step-trl": "trl_case",
    "step-comlrl": "comlrl_case",
    "device-decode": "device_case",
    "device-update": "device_case",
}


def answer(value=None, error=None):
    sys.stdout.write("@@" + json.dumps({"error": error} if error is not None else {"value": value}) + "\n")
    sys.stdout.flush()


def requests():
    """The requests that are still to come, one at a time."""
    for line in iter(sys.stdin.readline, ""):
        yield json.loads(line)


def timed(function):
    """Wall and processor seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return {"seconds": time.perf_counter() - wall, "cpuSeconds": time.process_time() - cpu}


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in ("torch", "transformers", "trl", "comlrl"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            pass
    return found


def open_case(request):
    """The case's function for one repetition. A case that drives itself (a trainer's own loop) serves the requests until it ends."""
    module = importlib.import_module(CASES[request["case"]])
    return module.make(request)


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(1234)
    run = None
    stream = requests()
    for request in stream:
        try:
            call = request["call"]
            if call == "prepare":
                import models

                answer(models.prepare(request))
            elif call == "gate":
                import gates

                answer(gates.write(request))
            elif call == "gguf":
                import gguf_file

                answer(gguf_file.write(request))
            elif call == "open":
                run = open_case(request)
                if hasattr(run, "serve"):
                    run.serve(stream, answer)
                else:
                    answer()
            elif call == "run":
                answer(timed(run))
            elif call == "peak":
                answer(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
            elif call == "versions":
                answer({**versions(), "threads": torch.get_num_threads()})
            else:
                answer(error=f"Expected a known request but received {call}.")
        except Exception as error:  # the driver shows it in the row
            answer(error=f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
