"""The fork server of a worker: one warm interpreter that starts the processes of each request.

The server itself never reads a request, so no program and no test is ever in the memory a program starts with. The desk and the
server talk over a socket, one letter and its argument a message:

    R + channel, output           start a runner           -> p<pid> and its /proc/PID/stat, or e<why not>
    J + desk, channel, output, stat   start a judge        -> p<pid>, or e<why not>
    K<pid>                        kill it and say how it ended -> s<wait status> <CPU seconds> <1 if it had ended by itself>
"""
import gc
import os
import signal
import socket

from sandbox import desk, isolation, judge, rehearsal, runner, syscalls, wire

# What programs and tests import most; loaded once, before any fork.
WARM = "ast bisect collections copy functools heapq itertools json math operator random re string typing".split()


def serve(config, actions, samples):
    """Serves until standard input ends. Never returns.

    `actions` are what a request may ask for, see `judge.main`; `samples` are requests to rehearse with.
    """
    for name in WARM:
        __import__(name)
    os.environ.clear()
    isolation.name_process("server")
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
    rehearsal.rehearse(actions, samples)
    gc.collect()
    gc.disable()
    gc.freeze()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        desk.main(config, theirs)
    theirs.close()
    isolation.silence([0, 1])  # the desk's
    Attendant(config, ours, actions).attend()
    os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)


class Attendant:
    """Does what the desk asks for, until it is gone."""

    def __init__(self, config, control, actions):
        self.config = config
        self.control = control
        self.actions = actions
        self.alive = set()

    def attend(self):
        """Returns when the desk has ended, and everything it had started with it."""
        while True:
            message, descriptors, _flags, _address = socket.recv_fds(self.control, 64, 4)
            if not message:
                break
            letter, argument = message[:1], message[1:]
            try:
                if letter == b"K":
                    self.control.send(self.kill(int(argument)))
                else:
                    self.start(letter, descriptors)
            except BrokenPipeError:
                break
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
        for pid in list(self.alive):
            self.kill(pid)

    def start(self, letter, descriptors):
        """Forks a runner or a judge and tells the desk."""
        try:
            pid = isolation.fork(self.config["mode"] == "bubblewrap")
        except OSError as error:
            self.control.send(b"e" + str(error).encode()[:200])
            return
        if pid == 0:
            if letter == b"R":
                runner.main(*descriptors, self.config)
            judge.main(*descriptors, self.config, self.actions)
        self.alive.add(pid)
        if letter == b"R":
            try:
                descriptors.append(os.open(f"/proc/{pid}/stat", os.O_RDONLY))
            except OSError as error:
                self.kill(pid)
                self.control.send(b"e" + str(error).encode()[:200])
                return
            socket.send_fds(self.control, [b"p%d" % pid], descriptors[-1:])
        else:
            self.control.send(b"p%d" % pid)

    def kill(self, pid):
        """Kills a process with all of its group; returns how it ended, for the desk."""
        self.alive.discard(pid)
        # Seen without being reaped: its number must not be given to another process before the group is killed.
        has_ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        for kill, target in ((os.killpg, pid), (os.kill, pid)):
            try:
                kill(target, signal.SIGKILL)
            except OSError:
                pass
        _pid, status, used = os.wait4(pid, 0)
        return b"s%d %f %d" % (status, used.ru_utime + used.ru_stime, has_ended)
