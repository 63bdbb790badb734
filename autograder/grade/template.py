"""Forks isolated processes from one that has imported the libraries. Started inside bubblewrap by
`autograder.grade.warm`, with nothing of the course beside it but what its settings name:

    python -I template.py '{"role": "kernel", "nested": true, "path": [], "imports": ["torch"]}'

Standard input is a socket. Each message asks for one process and carries the socket over which that
process is supervised (for a judge also the one it talks through). A request makes a chain of forks:

    template ── waiter ── supervisor (first process of new namespaces) ── worker (the kernel or the judge)

Words of a supervisor: `here`, `inside`, `sealed`, `exit STATUS`, `fault TEXT`; to it: `go`, `seal`, `end`.
The supervisor mounts what the worker sees and keeps the rights to do so until the worker is started and
`seal` has come; it never runs code of a hand-in. The worker loses every right before its first thread.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMESPACES = 0x10000000 | 0x20000 | 0x20000000 | 0x8000000 | 0x40000000 | 0x4000000
"""CLONE_NEWUSER, NEWNS, NEWPID, NEWIPC, NEWNET, NEWUTS."""
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 38, 47
INODES = 20_000
"""Files and folders in each writable folder."""
CONTROL, TALK = 3, 4
"""Descriptors of a forked process: its supervision, and a judge's channel to who asked for it."""

libc = ctypes.CDLL(None, use_errno=True)
Job = dict[str, Any]


def main() -> None:
    """Import, say ready, then fork a process for each request until the socket is closed."""
    settings = json.loads(sys.argv[1])
    sys.path[:0] = settings["path"]
    for name in settings["imports"]:
        importlib.import_module(name)
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("an import has started a thread, which would be missing in every fork")
    for name in settings["fork_safe"]:
        importlib.import_module(name)
    requests = socket.socket(fileno=0)
    requests.send(b"ready")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, 1 << 16, 2)
        if not message:
            return
        job = {**settings, **json.loads(message)}
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                _waiter(job, descriptors)
            finally:
                os._exit(1)
        for descriptor in descriptors:
            os.close(descriptor)


def _waiter(job: Job, descriptors: list[int]) -> None:
    """Let the asker place this process in a control group, enter new namespaces, start the supervisor."""
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 100) for descriptor in descriptors]
    os.closerange(3, 100)
    for place, descriptor in enumerate(aside, start=CONTROL):
        os.dup2(descriptor, place, inheritable=False)
    os.closerange(CONTROL + len(aside), 4096)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    control = socket.socket(fileno=CONTROL)
    control.send(b"here")
    if control.recv(16) != b"go":
        return
    os.setsid()
    try:
        if job["nested"]:
            _enter_namespaces()
            supervisor = os.fork()
            if supervisor:
                control.close()
                _, status = os.waitpid(supervisor, 0)
                os._exit(os.waitstatus_to_exitcode(status) & 255)
            _require(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
            _mount_all(job)
            _loopback_up()
        else:
            _copy_files(job)
        control.send(b"inside")
        _supervise(job, control)
    except OSError as error:
        control.send(f"fault {error}"[:500].encode())


def _require(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _enter_namespaces() -> None:
    user, group = os.getuid(), os.getgid()
    _require(libc.unshare(NAMESPACES), "unshare")
    for file, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        _write(f"/proc/self/{file}", text)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode() if kind else None, flags, data.encode())
    _require(libc.mount(*arguments), f"mount {target}")


def _mount_all(job: Job) -> None:
    """A /proc of its own, the job's folder, fresh sized folders to write in; the other jobs' folders vanish."""
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    _mount(f"/jobs/{job['folder']}", job["mounted"], None, MS_BIND)
    for folder in ("/box", "/tmp", "/dev/shm"):
        _mount(
            "tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, f"size={job['disk']},nr_inodes={INODES},mode=1777"
        )
    _copy_files(job)
    _mount("tmpfs", "/jobs", "tmpfs", MS_NOSUID | MS_NODEV | MS_RDONLY, "size=4k,nr_inodes=1,mode=000")
    _mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    _write("/proc/sys/user/max_user_namespaces", "0")


def _copy_files(job: Job) -> None:
    if job["files"]:
        shutil.copytree(job["files"], job["home"], dirs_exist_ok=True)
    os.chdir(job["home"])


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(
            any_socket, 0x8914, struct.pack("16sh14x", b"lo", 0x1 | 0x40)
        )  # SIOCSIFFLAGS: up, running


def _supervise(job: Job, control: socket.socket) -> None:
    """Start the worker; do what comes over `control` until it ends or the other side is gone."""
    report, told = os.pipe()
    worker = os.fork()
    if worker == 0:
        control.close()
        os.close(report)
        _become_worker(job, told)
    os.close(told)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one signal that the first process would not be spared
    if job["role"] == "judge":
        os.close(TALK)
    # the worker has this process's account: undumpable, its memory and descriptors are root's to look at
    _require(libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl")
    if job["role"] == "judge":
        _drop_rights(job)  # a kernel's supervisor needs them until its folder is sealed
    ended = os.pidfd_open(worker)
    waiting = [control.fileno(), report, ended]
    while True:
        ready, _, _ = select.select(waiting, [], [], 1.0)
        if report in ready:
            fault = os.read(report, 500)
            if fault:
                control.send(b"fault " + fault)
            waiting.remove(report)
        if control.fileno() in ready:
            order = control.recv(16)
            if not order:
                os._exit(0)
            if order == b"seal":
                if job["nested"]:
                    _mount(
                        "none", job["mounted"], None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV
                    )
                    _drop_rights(job)
                control.send(b"sealed")
            if order == b"end" and ended in waiting:
                os.kill(worker, signal.SIGKILL)
        _reap(worker)
        if ended in ready:
            _, status = os.waitpid(worker, 0)
            control.send(f"exit {os.waitstatus_to_exitcode(status)}".encode())
            waiting.remove(ended)


def _reap(worker: int) -> None:
    """Take the exit status of orphans, as the first process of a namespace has to."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid == worker:
            return
        os.waitpid(found.si_pid, 0)


def _become_worker(job: Job, told: int) -> None:
    try:
        for limit, value in job["rlimits"].items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (value, value))
        _write("/proc/self/oom_score_adj", "500")
        _drop_rights(job)
        _reseed()
        ROLES[job["role"]](job, lambda: os.close(told))
    except BaseException as error:
        os.write(told, f"{type(error).__name__}: {error}"[:500].encode())
    finally:
        os._exit(1)


def _drop_rights(job: Job) -> None:
    """No capabilities, no new ones, and the filter of system calls; each holds for later children too."""
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(PR_CAP_AMBIENT, 4, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _require(libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")
    _require(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    code = bytes.fromhex(job["seccomp"])
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(instructions))
    _require(libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(program), 0, 0), "seccomp")


def _reseed() -> None:
    """Python reseeds itself after a fork; numpy does not."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(int.from_bytes(os.urandom(4), "little"))


def _kernel(job: Job, started: Callable[[], None]) -> None:
    """The student's kernel: sockets that the judge's account may use, then no more new ones."""
    from ipykernel.kernelapp import IPKernelApp

    os.umask(0)
    app = IPKernelApp.instance()
    app.initialize(["-f", f"{job['mounted']}/c.json", "--HistoryManager.enabled=False"])
    os.umask(0o022)
    # `exit` in a cell would end the kernel a tenth of a second later, under whichever cell runs then
    app.shell.ask_exit = lambda: None
    started()
    app.start()


def _judge(job: Job, started: Callable[[], None]) -> None:
    from autograder.grade.judge import serve

    started()
    serve(socket.socket(fileno=TALK), job["mounted"])


ROLES: dict[str, Callable[[Job, Callable[[], None]], None]] = {"kernel": _kernel, "judge": _judge}


if __name__ == "__main__":
    main()
