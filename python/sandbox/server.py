"""The fork server of a worker: one warm interpreter that starts runners, one per program, and the judge that serves requests.

The server itself never reads a request, so no program and no test is ever in the memory a runner starts with. The judge and
the server talk over a socket, one letter and its argument a message:

    S  + two descriptors   start a runner                  -> p<pid> or e<why not>
    k<pid>                 kill it
    K<pid>                 kill it and say how it ended    -> s<wait status> <CPU seconds>
    P                      a request has been read (from now on its reply is owed)
    W, D                   the reply is being written, has been written
    R                      the judge wants to be replaced by a fresh one
    Q                      standard input has ended
"""
import gc
import os
import signal
import socket

from sandbox import isolation, judge, runner, syscalls, wire

# What programs import most; loaded once, before any fork. Not `random`, which seeds itself anew in every fork.
WARM = "ast bisect collections copy functools heapq itertools json math operator re string typing".split()


def serve(config, actions):
    """Serves until standard input ends. Never returns. `actions`: what a request may ask for, see `judge.main`."""
    for name in WARM:
        __import__(name)
    os.environ.clear()
    if config["mode"] == "process":
        isolation.hide_memory()
    else:
        isolation.drop_capabilities()
        try:
            config["signals"] = syscalls.Filter("signals")
            syscalls.Filter("rest").enforce()
        except OSError as error:
            wire.write_frame(1, {"unavailable": str(error)})
            os._exit(0)
    runner.rehearse()
    gc.collect()
    gc.disable()
    gc.freeze()
    is_first = True
    while True:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            ours.close()
            judge.main(config, theirs, actions, is_first)
        is_first = False
        theirs.close()
        steps = Attendant(config, ours).attend()
        ours.close()
        status = os.waitpid(pid, 0)[1]
        last = steps[-1:]
        if last == b"Q":
            os._exit(0)
        if last == b"P":
            wire.write_frame(1, {"died": cause(status)})
        elif last != b"R":
            os._exit(1)  # a stream may be torn: a new worker is needed


class Attendant:
    """Does what one judge asks for, until it is gone."""

    def __init__(self, config, control):
        self.config = config
        self.control = control
        self.alive = set()

    def attend(self):
        """Returns the steps the judge has told of."""
        steps = b""
        while True:
            message, descriptors, _flags, _address = socket.recv_fds(self.control, 64, 2)
            if not message:
                break
            letter, argument = message[:1], message[1:]
            try:
                if letter == b"S":
                    self.control.send(self.start(*descriptors))
                elif letter in b"kK":
                    ended = self.kill(int(argument))
                    if letter == b"K":
                        self.control.send(ended)
                else:
                    steps = letter
            except BrokenPipeError:
                break
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        for pid in list(self.alive):
            self.kill(pid)
        return steps

    def start(self, channel, output):
        """Forks a runner; returns what to tell the judge."""
        try:
            pid = isolation.fork(self.config["mode"] == "bubblewrap")
        except OSError as error:
            return b"e" + str(error).encode()[:200]
        if pid == 0:
            runner.main(channel, output, self.config)
        self.alive.add(pid)
        return b"p%d" % pid

    def kill(self, pid):
        """Kills a runner with all of its group; returns how it ended, for the judge."""
        self.alive.discard(pid)
        for kill, target in ((os.killpg, pid), (os.kill, pid)):
            try:
                kill(target, signal.SIGKILL)
            except OSError:
                pass
        _pid, status, used = os.wait4(pid, 0)
        return b"s%d %f" % (status, used.ru_utime + used.ru_stime)


def cause(status):
    """Why a judge ended, as a reason of its program."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return "timeout" if number == signal.SIGALRM else "memory" if number == signal.SIGKILL else "crash"
    return "crash"
