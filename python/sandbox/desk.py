"""The desk of a worker: takes requests from standard input, has each answered by a judge of its own, and writes the replies.

It is the only process that lasts from one request to the next, and it never runs a program or a test. A judge is new for each
request, held by the kernel as the program is, and killed afterwards; it and its runner start before the request comes. The judge
and the desk exchange frames, a word and its argument:

    static <reply>    all that can be said without running anything: what follows comes from a judge that has run test code
    done <fields>     the reply, or those fields of it that tests fill in
    died, bug <why>   the text was too much for the judge; a mistake in it
    interrupt         have the runner notice that its time is over
    end               kill the runner             -> [<wait status>, <CPU seconds>]
    outside           the runner was killed from outside: the request is answered anew
"""
import json
import os
import select
import signal
import socket
import sys
import time
import traceback

from sandbox import isolation, testing, wire

ATTEMPTS = 3  # with one request, if its judge or its runner is killed from outside
MAX_STATIC = 1 << 28  # bytes of a frame that was made before test code ran
_MEMORY_BYTES = 2 << 30
_LAST_MOMENT = 0.05  # seconds a process has to end after its end of a socket has closed
_DEATHS = ("timeout", "memory", "crash", "syntax")


class Misbehaved(Exception):
    """The judge sent what no judge sends."""


def main(config, control):
    """Serves requests until standard input ends. Never returns."""
    try:
        isolation.name_process("desk")
        isolation.die_with_parent()
        isolation.close_others({0, 1, 2, control.fileno()})
        isolation.hide_memory()
        isolation.limit_desk(_MEMORY_BYTES)
        Desk(config, control).serve()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


class Desk:
    """Serves one request after the other."""

    def __init__(self, config, control):
        self.config = config
        self.control = control
        self.runner = None
        self.judge = None

    def serve(self):
        """Says that it is ready, and serves until standard input ends."""
        try:
            self.prepare(1)
        except OSError as error:
            wire.write_frame(1, {"unavailable": str(error)})
            return
        wire.write_frame(1, {"ready": sys.version.split()[0]})
        while (body := self.read_request()) is not None:
            limits = json.loads(body)["limits"]
            deadline = time.monotonic() + limits["wallSeconds"]
            for _ in range(ATTEMPTS):
                self.prepare(20)
                reply = self.answer(body, limits, deadline)
                if reply is not None:
                    break
            wire.write_frame(1, reply or {"died": "memory"})
            self.prepare(20)

    @staticmethod
    def read_request():
        """The text of the next request; None at the end of the stream."""
        head = wire.read_exactly(0, 4)
        return None if head is None else wire.read_exactly(0, int.from_bytes(head, "big"))

    def prepare(self, attempts):
        """Has a runner and a judge ready. Namespaces can be short for a moment, as they are freed late: then it tries again."""
        for attempt in range(1, attempts + 1):
            if self.judge is not None:
                return
            try:
                # A runner that has not been asked anything, because the program did not parse, say, is as good as new.
                self.runner = self.runner or Runner(self.control)
                self.runner.meet()
                self.judge = Judge(self.control, self.runner)
            except OSError:
                self.end_runner()
                if attempt == attempts:
                    raise
                time.sleep(0.02 * attempt)

    def end_runner(self):
        """Kills the runner and closes what leads to it."""
        if self.runner is not None:
            self.runner.close()
            self.runner = None

    def answer(self, body, limits, deadline):
        """The reply to a request; None if it has to be answered anew."""
        judge, self.judge = self.judge, None
        conversation = Conversation(self.runner, judge, limits)
        try:
            reply = conversation.run(body, deadline)
        except Misbehaved:
            reply = conversation.died("crash")
        finally:
            judge.close()
            if conversation.reply is not None or self.runner.pid is None:
                self.end_runner()
        return reply


class Conversation:
    """What one judge says about one request."""

    def __init__(self, runner, judge, limits):
        self.runner = runner
        self.judge = judge
        self.limits = limits
        self.reply = None  # that part of it that no test code can have changed

    def run(self, body, deadline):
        """The reply; None if judge or runner were killed from outside."""
        try:
            self.judge.send(len(body).to_bytes(4, "big") + body, deadline)
            while True:
                word, argument = self.message(deadline)
                if word == "outside":
                    return None
                if word == "interrupt":
                    self.runner.interrupt()
                elif word == "end":
                    self.judge.send(wire.pack(self.runner.end()), deadline)
                elif word == "static" and self.reply is None:
                    self.reply = argument
                elif word == "died" and argument in _DEATHS:
                    return self.died(argument)
                elif word == "done":
                    return self.finished(argument)
                elif word == "bug" and self.reply is None:
                    return {"bug": argument}
                else:
                    raise Misbehaved
        except TimeoutError:
            return self.died("timeout")
        except (EOFError, ConnectionError):
            return self.judge_died()

    def message(self, deadline):
        """The next frame of the judge: its word and argument."""
        body = self.judge.receive(deadline, MAX_STATIC if self.reply is None else wire.MAX_FRAME >> 2)
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            raise Misbehaved from None
        if type(message) is not list or len(message) != 2 or type(message[0]) is not str:
            raise Misbehaved
        if type(message[1]) is not str and message[0] == "died":
            raise Misbehaved
        return message

    def finished(self, fields):
        """The reply with the fields that tests fill in. After test code has run these are only claims: they are read as data."""
        if self.reply is None:
            return {"reply": fields}
        try:
            return {"reply": {**self.reply, **testing.checked(fields)}}
        except (TypeError, ValueError, KeyError):
            raise Misbehaved from None

    def died(self, reason):
        """The reply if the judge is gone: what could be seen without running anything still counts."""
        return {"died": reason, **({"reply": self.reply} if self.reply is not None else {})}

    def judge_died(self):
        """The reply to a request whose judge has ended; None if that has nothing to do with it."""
        time.sleep(_LAST_MOMENT)
        status, used, has_ended = self.judge.end()
        if not os.WIFSIGNALED(status):
            return self.died("crash")
        number = os.WTERMSIG(status)
        if isolation.ended_by_cpu(status, used, self.limits["programCpuSeconds"]):
            return self.died("timeout")
        # One that still lives has closed its channel, as test code can: the signal is that of `end`.
        return None if number == signal.SIGKILL and has_ended else self.died("crash")


class Process:
    """A process that the server has started for the desk."""

    def __init__(self, control):
        self.control = control
        self.pid = None

    def started(self, letter, descriptors):
        """Has the server start it; returns the descriptors that come with the answer. Raises OSError if it could not."""
        socket.send_fds(self.control, [letter], descriptors)
        answer, received, _flags, _address = socket.recv_fds(self.control, 256, 1)
        if answer[:1] != b"p":
            raise OSError(answer[1:].decode(errors="replace"))
        self.pid = int(answer[1:])
        return received

    def end(self):
        """Kills it; returns wait status, CPU seconds used and whether it had ended by itself."""
        if self.pid is None:
            raise Misbehaved
        self.control.send(b"K%d" % self.pid)
        self.pid = None
        status, used, has_ended = self.control.recv(64)[1:].split()
        return [int(status), float(used), has_ended == b"1"]


class Runner(Process):
    """A process for the program, and the descriptors that lead to it: the channel, what it prints, what /proc says of it."""

    def __init__(self, control):
        super().__init__(control)
        self.is_ready = False
        ours, theirs = socket.socketpair()
        output, theirs_output = os.pipe()
        self.channel, self.output, self.stat = ours, output, None
        try:
            (self.stat,) = self.started(b"R", [theirs.fileno(), theirs_output])
        except OSError:
            self.close()
            raise
        finally:
            theirs.close()
            os.close(theirs_output)

    def meet(self):
        """Waits until it is ready. Raises OSError if it could not be isolated."""
        if self.is_ready:
            return
        hello = wire.read_frame(self.channel.fileno())
        if hello is None or hello[1] != "ready":
            raise OSError(hello[2] if hello else "the program's process ended before it was ready")
        self.is_ready = True

    def interrupt(self):
        """Has the program notice that its time is over, in the way in which it notices the end of its CPU time."""
        if self.pid is not None:
            try:
                os.kill(self.pid, signal.SIGPROF)
            except OSError:
                pass  # it is held to the limit all the same

    def close(self):
        """Kills it, if it lives, and closes what leads to it."""
        if self.pid is not None:
            self.end()
        self.channel.close()
        for descriptor in (self.output, self.stat):
            if descriptor is not None:
                os.close(descriptor)


class Judge(Process):
    """A process that judges one program."""

    def __init__(self, control, runner):
        super().__init__(control)
        self.socket, theirs = socket.socketpair()
        try:
            self.started(b"J", [theirs.fileno(), runner.channel.fileno(), runner.output, runner.stat])
        except OSError:
            self.socket.close()
            raise
        finally:
            theirs.close()
        self.socket.setblocking(False)

    def send(self, data, deadline):
        """Sends bytes. Raises TimeoutError at the deadline, ConnectionError if the judge is gone."""
        pending = memoryview(data)
        while pending:
            self.wait(select.POLLOUT, deadline)
            try:
                pending = pending[self.socket.send(pending) :]
            except BlockingIOError:
                pass

    def receive(self, deadline, most):
        """The text of one frame of at most so many bytes. Raises as `send` does, and EOFError at the end of the stream."""
        size = int.from_bytes(self.receive_exactly(4, deadline), "big")
        if size > most:
            raise Misbehaved
        return self.receive_exactly(size, deadline)

    def receive_exactly(self, count, deadline):
        """So many bytes."""
        pieces = []
        while count > 0:
            self.wait(select.POLLIN, deadline)
            try:
                piece = self.socket.recv(min(count, 1 << 20))
            except BlockingIOError:
                continue
            if not piece:
                raise EOFError
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def wait(self, event, deadline):
        """Waits until the socket is ready."""
        poll = select.poll()
        poll.register(self.socket, event)
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            raise TimeoutError

    def close(self):
        """Kills it, if it lives."""
        if self.pid is not None:
            self.end()
        self.socket.close()
