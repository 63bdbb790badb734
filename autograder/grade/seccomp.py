"""The system calls that student code and the judge may not make, as a BPF program for the kernel.

A list of what is denied, like Docker's and Flatpak's read the other way round: ordinary computing needs
hundreds of calls, an escape needs one of these. Each answers EPERM, as it would to an account without the
right, so that a library that tries and falls back keeps working.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import tempfile
from functools import cache

from autograder.errors import SandboxError

DENIED = [
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd",
    "mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "fspick",
    "mount_setattr", "unshare", "setns",
    "add_key", "request_key", "keyctl",
    "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "open_by_handle_at", "name_to_handle_at", "fanotify_init", "quotactl", "acct", "swapon", "swapoff",
    "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
    "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "sethostname", "setdomainname",
    "iopl", "ioperm", "modify_ldt", "vhangup", "syslog", "lookup_dcookie", "nfsservctl", "mknod", "mknodat",
    "personality",
]  # fmt: skip
"""Names of system calls; one that this machine's library does not know is left out."""
SOCKET_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
"""What remains inside a network namespace. Others, such as AF_VSOCK, would reach out of it."""
NAMESPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
"""The CLONE_NEW* flags that clone(2) takes: mount, cgroup, uts, ipc, user, pid, net."""


@cache
def program() -> bytes:
    """The filter as an array of `struct sock_filter`. Raises SandboxError when libseccomp is missing."""
    try:
        from pyseccomp import ALLOW, ERRNO, GT, MASKED_EQ, Arg, SyscallFilter
    except (ImportError, OSError, RuntimeError) as error:
        raise SandboxError(
            f"the system-call filter cannot be made ({error}). Run as root: apt-get install -y libseccomp2"
        ) from error
    denied = ERRNO(errno.EPERM)
    rules = SyscallFilter(ALLOW)
    for name in DENIED:
        with contextlib.suppress(ValueError, OSError):  # a call newer than this machine's library
            rules.add_rule(denied, name)
    for flag in NAMESPACES:
        rules.add_rule(denied, "clone", Arg(0, MASKED_EQ, flag, flag))
    # its flags lie in memory, where a filter cannot look; glibc falls back to clone
    rules.add_rule(ERRNO(errno.ENOSYS), "clone3")
    largest = max(SOCKET_FAMILIES)
    for call in ("socket", "socketpair"):
        rules.add_rule(denied, call, Arg(0, GT, largest))
        for family in range(1, largest):
            if family not in SOCKET_FAMILIES:
                rules.add_rule(denied, call, Arg(0, MASKED_EQ, 0xFFFFFFFF, family))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
