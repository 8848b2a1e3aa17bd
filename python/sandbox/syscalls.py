"""A filter of system calls that no program under test needs; a filtered call fails with "operation not permitted"."""
import ctypes
import os
import struct

# System call numbers: x86_64 and the generic table of aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
_NUMBERS = {
    "x86_64": {
        "arch": 0xC000003E,
        "signals": (62, 129, 200, 297, 424),
        "rest": (
            *(29, 30, 41, 64, 68),  # shmget shmat socket semget msgget
            *(101, 135, 155, 161, 166),  # ptrace personality pivot_root chroot umount2
            *(169, 170, 171, 175, 246, 313, 320),  # reboot, host and domain name, modules, kexec
            *(248, 249, 250, 272, 298, 304),  # keys, unshare, perf_event_open, open_by_handle_at
            *(308, 310, 311, 319, 321, 323),  # setns, process_vm_*, memfd_create, bpf, userfaultfd
            *(425, 426, 427, 428, 429, 430, 434, 438, 442),  # io_uring_*, the new mount calls, pidfd_open, pidfd_getfd
            # What costs memory of the kernel, or time of all: setsockopt (larger buffers), timer_create, io_setup, sync, syncfs,
            # inotify_init, inotify_init1, fanotify_init.
            *(54, 222, 206, 162, 306, 253, 294, 300),
        ),
    },
    "aarch64": {
        "arch": 0xC00000B7,
        "signals": (129, 130, 138, 240, 424),
        "rest": (
            *(194, 196, 198, 190, 186),
            *(117, 92, 41, 51, 39),
            *(142, 161, 162, 105, 104, 273, 294),
            *(217, 218, 219, 97, 241, 265),
            *(268, 270, 271, 279, 280, 282),
            *(425, 426, 427, 428, 429, 430, 434, 438, 442),
            *(208, 107, 0, 81, 267, 26, 262),
        ),
    },
}
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _NOT_PERMITTED, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
_X32 = 0x40000000
_PR_SET_SECCOMP, _FILTER = 22, 2
_prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)


def _program(architecture, numbers):
    """The filter as struct sock_filter[] (linux/filter.h): wrong architecture ends the process, listed calls fail."""
    body = [(_LOAD, 0, 0, 4), (_JUMP_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    tests = [(_JUMP_GREATER_EQUAL, _X32), *((_JUMP_EQUAL, number) for number in numbers)]
    for place, (code, value) in enumerate(tests):
        body.append((code, len(tests) - place, 0, value))
    body += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _NOT_PERMITTED)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in body)


class Filter:
    """A filter that forbids a group of calls ("signals" or "rest"), made once and put in force where it is needed."""

    def __init__(self, group):
        table = _NUMBERS.get(os.uname().machine)
        if table is None:
            raise OSError(f"no table of system calls for {os.uname().machine} (x86_64 and aarch64 have one)")
        code = _program(table["arch"], table[group])
        self._code = ctypes.create_string_buffer(code, len(code))
        self._head = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(self._code))

    def enforce(self):
        """Forbids the calls to this process and its children, for good. Needs `no_new_privs`."""
        if _prctl(_PR_SET_SECCOMP, _FILTER, self._head, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"filtering system calls: {os.strerror(ctypes.get_errno())}")
