"""The fork server of a worker: one warm interpreter, one judge (and its runner) per request.

The server never reads a request, so no program or test is ever in the memory its children start with.
"""
import gc
import os
import signal
import sys
import time

import wire

# What programs import most; loaded once, before any fork.
WARM = (
    "ast bisect collections copy datetime decimal fractions functools hashlib heapq itertools json math operator random re "
    "statistics string typing"
).split()


def serve(config):
    """Serves until standard input ends. Never returns."""
    import judge

    for name in WARM:
        __import__(name)
    os.environ.clear()
    if config["mode"] == "process":
        import isolation

        isolation.hide_memory()
    gc.collect()
    gc.disable()
    gc.freeze()
    announced = False
    failures = 0
    while True:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            judge.main(config, writer)
        os.close(writer)
        steps = b""
        while piece := os.read(reader, 4096):
            steps += piece
            if not announced and steps.startswith(b"R"):
                announced = True
                wire.write_frame(1, {"ready": sys.version.split()[0]})
        os.close(reader)
        status = os.waitpid(pid, 0)[1]
        if config["mode"] == "bubblewrap":
            sweep()
        if steps.startswith(b"E"):
            # Namespaces can be short for a moment (they are freed late); more than a moment is an error.
            failures += 1
            if failures > (0 if not announced else 20):
                wire.write_frame(1, {"unavailable": steps[1:].decode(errors="replace")})
                os._exit(0)
            time.sleep(0.02 * failures)
            continue
        failures = 0
        if steps.endswith(b"Q"):
            os._exit(0)
        if steps.endswith(b"P"):
            wire.write_frame(1, {"died": cause(status)})
        elif not steps.endswith(b"D"):
            os._exit(1)  # the stream may be torn: a new worker is needed


def sweep():
    """Kills whatever is left of a request: everything in this process namespace but the server and its init."""
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass


def cause(status):
    """Why a judge ended, as a reason of its program."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "timeout" if number in (signal.SIGALRM, signal.SIGXCPU) else "memory" if number == signal.SIGKILL else "crash"
    return "crash"
