"""Fresh namespaces, dropped capabilities and resource limits for one program."""
import ctypes
import os
import resource

_libc = ctypes.CDLL(None, use_errno=True)

# User, mount, process, IPC, UTS, control-group and network namespaces (linux/sched.h).
_ALL_NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x08000000 | 0x04000000 | 0x02000000 | 0x40000000
_MS_NOSUID_NODEV = 2 | 4
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 4, 24, 38, 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522


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


def enter_namespaces(file_bytes):
    """Moves this process into fresh namespaces; the next child is the first process of the new process namespace.

    The only writable place becomes an empty `/tmp` of four times `file_bytes`, and `/proc` an empty folder, so that
    nothing of an earlier program is left and nothing of another process can be seen.
    """
    user, group = os.getuid(), os.getgid()
    _check(_libc.unshare(_ALL_NAMESPACES), "unshare (new namespaces)")
    _write("/proc/self/setgroups", b"deny")
    _write("/proc/self/uid_map", b"%d %d 1" % (user, user))
    _write("/proc/self/gid_map", b"%d %d 1" % (group, group))
    try:
        # No further user namespaces below this one: they would bring capabilities back.
        _write("/proc/sys/user/max_user_namespaces", b"0")
    except OSError:
        pass  # a read-only /proc/sys; capabilities below would still be confined to namespaces that hold nothing
    size = b"size=%d,nr_inodes=4096,mode=0777" % (4 * file_bytes)
    _check(_libc.mount(b"tmpfs", b"/tmp", b"tmpfs", _MS_NOSUID_NODEV, size), "mounting /tmp")
    _check(_libc.mount(b"tmpfs", b"/proc", b"tmpfs", _MS_NOSUID_NODEV | 1, b"size=4096,mode=0555"), "hiding /proc")


def drop_capabilities():
    """Gives up every capability, for good."""
    for capability in range(64):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "dropping capabilities")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def hide_memory():
    """Keeps other processes of the same user from tracing this one or reading its memory."""
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def die_with_parent():
    """Lets the kernel kill this process when its parent ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0)


def _limit(kind, value):
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY and (value == resource.RLIM_INFINITY or value > hard):
        value = hard
    resource.setrlimit(kind, (value, value))


def limit_program(memory_bytes, file_bytes, processes):
    """Limits of the program under test. `processes` counts the program's own processes and threads, the first included."""
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_DATA, memory_bytes)
    _limit(resource.RLIMIT_STACK, 8 << 20)
    _limit(resource.RLIMIT_FSIZE, file_bytes)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _limit(resource.RLIMIT_MSGQUEUE, 0)
    # The judge lives in the same user namespace and counts too; with one process allowed no clone may succeed at all.
    _limit(resource.RLIMIT_NPROC, 1 if processes <= 1 else processes + 1)


def limit_judge(memory_bytes):
    """Limits of the trusted process, which parses text it did not write."""
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_CORE, 0)


def limit_cpu(seconds):
    """CPU time of this process, whole seconds; the kernel kills it a second later at the latest."""
    _limit(resource.RLIMIT_CPU, max(1, int(seconds + 0.999)))
