"""Fresh namespaces, dropped capabilities, closed descriptors and resource limits for one process."""
import ctypes
import os
import resource
import signal

_libc = ctypes.CDLL(None, use_errno=True)
_python = ctypes.PyDLL(None)
_CLONE = {"x86_64": 56, "aarch64": 220}
_SIGCHLD = 17

# User, mount, process, IPC, UTS, control-group and network namespaces (linux/sched.h).
_ALL_NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x02000000 | 0x40000000
_MS_NOSUID_NODEV = 2 | 4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_SET_NO_NEW_PRIVS = 1, 4, 15, 38
_CLOSE_RANGE, _LAST_DESCRIPTOR = 436, 0xFFFFFFFF  # one number on all architectures (asm-generic/unistd.h)
_CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()
_USER, _GROUP = os.getuid(), os.getgid()  # in the namespace this worker lives in


def _check(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _write(path, text):
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text)
    except OSError as error:
        raise OSError(error.errno, f"writing {path}: {error.strerror}") from None
    finally:
        os.close(descriptor)


def fork(isolated):
    """Like `os.fork`, but with `isolated` the child is the first process of namespaces of its own, all of them fresh."""
    if not isolated:
        return os.fork()
    number = _CLONE.get(os.uname().machine)
    if number is None:
        raise OSError(f"clone is not known for {os.uname().machine} (x86_64 and aarch64 are)")
    _python.PyOS_BeforeFork()
    pid = _libc.syscall(number, _ALL_NAMESPACES | _SIGCHLD, None, None, None, None)
    error = ctypes.get_errno()
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(error, f"clone with new namespaces: {os.strerror(error)}")
    return pid


def settle(file_bytes):
    """Makes the child's namespaces its own: its user, an empty `/tmp` of four times `file_bytes`, and nothing in `/proc`.

    `/tmp` is the only place that can be written, so nothing of an earlier program is left.
    """
    _write("/proc/self/setgroups", b"deny")
    _write("/proc/self/uid_map", b"%d %d 1" % (_USER, _USER))
    _write("/proc/self/gid_map", b"%d %d 1" % (_GROUP, _GROUP))
    try:
        # No further user namespaces below this one: they would bring capabilities back.
        _write("/proc/sys/user/max_user_namespaces", b"0")
    except OSError:
        pass  # a read-only /proc/sys; capabilities below would still be confined to namespaces that hold nothing
    size = b"size=%d,nr_inodes=4096,mode=0777" % (4 * file_bytes)
    _check(_libc.mount(b"tmpfs", b"/tmp", b"tmpfs", _MS_NOSUID_NODEV, size), "mounting /tmp")
    _check(_libc.mount(b"tmpfs", b"/proc", b"tmpfs", _MS_NOSUID_NODEV | 1, b"size=4096,mode=0555"), "hiding /proc")


def close_others(kept):
    """Closes every descriptor that is not in `kept`, whatever its number: limits of today say nothing about those of before."""
    first = 0
    for descriptor in [*sorted(kept), _LAST_DESCRIPTOR + 1]:
        if first < descriptor:
            _close_range(first, descriptor - 1)
        first = descriptor + 1


def _close_range(first, last):
    if hasattr(_libc, "syscall") and _libc.syscall(_CLOSE_RANGE, ctypes.c_uint(first), ctypes.c_uint(last), 0) == 0:
        return
    try:  # Linux before 5.9
        opened = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        opened = range(os.sysconf("SC_OPEN_MAX"))
    for descriptor in opened:
        if first <= descriptor <= last:
            try:
                os.close(descriptor)
            except OSError:
                pass  # the one of the list itself


def silence(descriptors):
    """Puts `/dev/null` in the place of standard descriptors."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nothing, descriptor)


def name_process(name):
    """The name this process has in `ps`."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)


def drop_capabilities():
    """Gives up every capability, for good: without new privileges no program that is started can bring one back."""
    _check(_libc.capset(_CAPABILITY_HEADER, _NO_CAPABILITIES), "dropping capabilities")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def hide_memory():
    """Keeps other processes of the same user from tracing this one or reading its memory."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent():
    """Lets the kernel kill this process when its parent ends."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def _limit(kind, value):
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
        value = hard
    resource.setrlimit(kind, (value, value))


def limit_process(memory_bytes, file_bytes, processes):
    """Limits of a process that runs code nobody trusts. `processes` counts its own processes and threads, the first included.

    Few descriptors and queued signals bound what the kernel holds for it: buffers of pipes and sockets, timers.
    """
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_STACK, 8 << 20)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(getattr(resource, "RLIMIT_MSGQUEUE", resource.RLIMIT_CORE), 0)
    if hasattr(resource, "RLIMIT_SIGPENDING"):
        _limit(resource.RLIMIT_SIGPENDING, 32)
    # Counted per user and user namespace (before Linux 5.14 per user alone); 1 forbids every clone wherever it is counted.
    _limit(resource.RLIMIT_NPROC, processes)


def limit_desk(memory_bytes):
    """Limits of the process that passes requests and replies on."""
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)


def limit_cpu(seconds):
    """CPU time of this process, whole seconds; the kernel kills it a second later at the latest."""
    _limit(resource.RLIMIT_CPU, max(1, int(seconds + 0.999)))


def ended_by_cpu(status, used, seconds):
    """Whether a process that was ended by a signal had reached `limit_cpu(seconds)`.

    The kernel counts in ticks, and has been seen to end a process whose `used` seconds were a sixth below the limit.
    """
    number = os.WTERMSIG(status)
    return number == signal.SIGXCPU or (number == signal.SIGKILL and used > 0.7 * seconds)
