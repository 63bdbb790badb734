"""What a process in the sandbox can see and do, asked from inside."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from autograder.course import ROOT
from autograder.errors import SandboxError
from autograder.grade import sandbox as sandbox_module
from autograder.grade import warm
from autograder.grade.cgroups import hierarchy
from autograder.grade.kernel import KernelLost, StudentKernel
from autograder.grade.sandbox import Sandbox, bubblewrap
from autograder.grade.slot import Job, Slot
from autograder.grade.verdict import Outcome
from labkit import values
from tests.conftest import LIMITS

EMPTY = {"notebook": "none", "seed": 0, "limits": asdict(LIMITS), "cells": []}


class Direct:
    """A slot that is asked without a judge between."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def ask(self, question: str, kernel: int | None = None) -> dict[str, Any]:
        """One question, answered at once."""
        return self.job.answer(question, kernel)


@contextlib.contextmanager
def kernel_in(sandbox: Sandbox, files: dict[str, bytes] | None = None) -> Iterator[StudentKernel]:
    """A student's kernel in a slot of its own."""
    with (
        Slot(sandbox) as slot,
        Job(slot, {**EMPTY, "files": files or {}}) as job,
        StudentKernel(Direct(job), slot.jobs / job.name) as kernel,
    ):
        yield kernel


@pytest.fixture(scope="module", params=["warm", "fresh"])
def kernel(request: pytest.FixtureRequest) -> Iterator[StudentKernel]:
    """One kernel in the sandbox for all questions."""
    with kernel_in(
        Sandbox(LIMITS, warm=request.param == "warm"), {"given.txt": b"from the hand-in"}
    ) as started:
        yield started


def ask(kernel: StudentKernel, expression: str, setup: str = "") -> object:
    """Evaluate an expression in the sandbox and read its repr back."""
    result = kernel.run(f"{setup}\nprint(repr({expression}))", 30)
    assert result.error is None, result.error
    return ast.literal_eval(result.outputs[-1]["text"].strip())


def test_it_is_not_root_and_has_no_capabilities(kernel: StudentKernel) -> None:
    assert ask(kernel, "os.getuid() != 0", "import os")
    status = str(ask(kernel, "open('/proc/self/status').read()"))
    assert "CapEff:\t0000000000000000" in status and "NoNewPrivs:\t1" in status


def test_there_is_no_network(kernel: StudentKernel) -> None:
    assert ask(kernel, "[name for _, name in socket.if_nameindex()]", "import socket") == ["lo"]


def test_the_system_is_read_only(kernel: StudentKernel) -> None:
    for place in ("/usr/x", str((ROOT / ".venv").resolve() / "x")):
        result = kernel.run(f"open({place!r}, 'w')", 10)
        assert result.error is not None and result.error[0] in ("OSError", "PermissionError")


def test_of_checkout_and_homes_only_the_students_environment_is_there(kernel: StudentKernel) -> None:
    environment = str((ROOT / ".venv").resolve())
    tops = [str(ROOT), "/root", "/home", "/var", "/srv", "/mnt"]
    search = f"import os\nfound = [d for t in {tops} for d, _, files in os.walk(t) if files and not d.startswith({environment!r})]"
    assert ask(kernel, "found", search) == []
    assert ask(kernel, "os.path.exists('/etc/shadow')", "import os") is False


def test_nothing_of_staff_can_be_imported(kernel: StudentKernel) -> None:
    for name in ("reference_impl", "heldout", "autograder"):
        assert ask(kernel, f"importlib.util.find_spec({name!r}) is None", "import importlib.util")


def test_no_readable_file_outside_the_system_holds_a_solution(kernel: StudentKernel) -> None:
    search = (
        "import os\nfound = []\nfor top in ('/box', '/tmp', '/kernel', '/opt', '/etc'):\n"
        "    for folder, _, files in os.walk(top):\n        for name in files:\n            if name.endswith(('.py', '.json', '.ipynb', '.toml')):\n"
        "                path = os.path.join(folder, name)\n                try: text = open(path, errors='ignore').read(2_000_000)\n"
        "                except OSError: continue\n                if 'BEGIN ' + 'SOLUTION' in text and 'nbgrader' not in path: found.append(path)\n"
    )
    assert ask(kernel, "found", search) == []


def test_the_environment_holds_no_secret(kernel: StudentKernel) -> None:
    names = ask(kernel, "sorted(os.environ)", "import os")
    assert isinstance(names, list)
    words = {part for name in names for part in name.split("_")}
    assert not words & {"KEY", "TOKEN", "SECRET", "PASSWORD", "COURSE", "JUPYTERHUB"}


def test_other_processes_are_invisible(kernel: StudentKernel) -> None:
    pids = ask(kernel, "[p for p in os.listdir('/proc') if p.isdigit()]", "import os")
    assert (
        isinstance(pids, list) and len(pids) <= 4
    )  # bubblewrap's first, the template, the kernel, none else


def test_a_missing_bubblewrap_is_refused_with_the_line_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sandbox_module.shutil,
        "which",
        lambda tool, path=None: None if tool == "bwrap" else f"/usr/bin/{tool}",
    )
    with (
        pytest.raises(SandboxError, match=r"apt-get install -y bubblewrap .*--unsafe-no-sandbox"),
        kernel_in(Sandbox(LIMITS)),
    ):
        raise AssertionError("a kernel started without a sandbox")


@pytest.mark.parametrize("forked", [True, False])
def test_a_slot_leaves_nothing_behind(forked: bool) -> None:
    before = traces()
    with kernel_in(Sandbox(LIMITS, warm=forked)) as started:
        started.run("import subprocess; subprocess.Popen(['sleep', '1000'], start_new_session=True)", 20)
        assert traces() != before
    assert traces() == before


def test_where_namespaces_cannot_nest_a_kernel_starts_afresh_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sealed(*arguments: Any, nested: bool) -> list[str]:
        return bubblewrap(*arguments, nested=False)

    monkeypatch.setattr(warm, "bubblewrap", sealed)
    with kernel_in(Sandbox(LIMITS)) as kernel:
        assert ask(kernel, "1 + 1") == 2
        assert isinstance(kernel.keeper, Direct) and not kernel.keeper.job.slot.kernels.nested
    assert "fresh start" in Sandbox(LIMITS).describe(nested=False)


def traces() -> dict[str, list[str]]:
    """What grading could leave on this machine: processes, mounts, control groups, folders."""
    found = hierarchy()
    groups = [
        str(path)
        for folder in (found.folders.values() if found else [])
        for path in folder.glob(f"course-{os.getpid()}-*")
    ]
    return {
        "processes": sorted(str(child.pid) for child in psutil.Process().children(recursive=True)),
        "mounts": Path("/proc/mounts").read_text().splitlines(),
        "groups": sorted(groups),
        "folders": sorted(str(path) for path in Path(tempfile.gettempdir()).glob(f"course-{os.getpid()}-*")),
    }


def test_a_file_of_the_hand_in_is_in_its_home(kernel: StudentKernel) -> None:
    assert ask(kernel, "open('given.txt').read()") == "from the hand-in"


def test_only_sized_folders_can_be_written(kernel: StudentKernel) -> None:
    assert isinstance(kernel.keeper, Direct)
    # an ordinary user's fresh kernel runs under that user's account, and nobody can seal its folder
    sealed = kernel.keeper.job.slot.kernels.nested or os.geteuid() == 0
    for place in ("/x", "/dev/x", "/etc/x", "/jobs/x", *(["/kernel/x"] if sealed else [])):
        result = kernel.run(f"open({place!r}, 'w')", 10)
        assert result.error is not None and result.error[0] in (
            "OSError",
            "PermissionError",
            "FileNotFoundError",
        ), place
    for place in ("/tmp", "/box", "/dev/shm"):
        size = f"os.statvfs({place!r}).f_blocks * os.statvfs({place!r}).f_frsize"
        assert ask(kernel, size, "import os") == LIMITS.disk << 20


def test_no_further_namespace_can_be_made(kernel: StudentKernel) -> None:
    assert ask(kernel, "ctypes.CDLL(None).unshare(0x10000000)", "import ctypes") == -1


CALLS = {
    "ptrace": 101,
    "mount": 165,
    "setns": 308,
    "bpf": 321,
    "keyctl": 250,
    "io_uring_setup": 425,
    "process_vm_readv": 310,
}


@pytest.mark.parametrize("name", CALLS)
def test_a_denied_system_call_answers_that_it_is_not_permitted(kernel: StudentKernel, name: str) -> None:
    setup = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)"
    assert ask(kernel, f"(libc.syscall({CALLS[name]}, 0, 0, 0, 0, 0), ctypes.get_errno())", setup) == (
        -1,
        errno.EPERM,
    )


@pytest.mark.parametrize("family", ["AF_VSOCK", "AF_PACKET", "AF_ALG"])
def test_no_socket_reaches_out_of_the_network_namespace(kernel: StudentKernel, family: str) -> None:
    result = kernel.run(f"import socket\nsocket.socket(socket.{family}, socket.SOCK_DGRAM)", 10)
    assert result.error is not None and result.error[0] == "PermissionError"


def test_the_supervisor_cannot_be_looked_into(kernel: StudentKernel) -> None:
    for name in ("mem", "environ", "maps", "fd"):
        result = kernel.run(
            f"import os\nopen(os.open(f'/proc/{{os.getppid()}}/{name}', 0), 'rb').read(10)", 10
        )
        assert result.error is not None and result.error[0] == "PermissionError", name


def test_the_first_process_cannot_be_killed() -> None:
    with kernel_in(Sandbox(LIMITS)) as kernel:
        kernel.run("import os, signal\nfor n in range(1, 32): os.kill(1, n)", 10)
        assert ask(kernel, "os.getppid()", "import os") == 1


def test_a_warm_kernel_shares_no_memory_and_no_descriptor_with_the_next() -> None:
    maps = "[line for line in open('/proc/self/maps') if line.split()[1] == 'rw-s']"
    descriptors = "sorted(os.readlink(f'/proc/self/fd/{n}').split(':')[0] for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}'))"
    with kernel_in(Sandbox(LIMITS)) as kernel:
        assert ask(kernel, maps) == []
        kinds = ask(kernel, descriptors, "import os")
        assert isinstance(kinds, list)
        assert {kind for kind in kinds if kind.startswith("/")} <= {"/dev/null"}, kinds


def test_two_kernels_of_one_template_see_nothing_of_each_other() -> None:
    with (
        Slot(Sandbox(LIMITS)) as slot,
        Job(slot, {**EMPTY, "files": {}}) as job,
        StudentKernel(Direct(job), slot.jobs / job.name) as first,
    ):
        first.run("open('/tmp/mark', 'w').write('x'); open('/dev/shm/mark', 'w').write('x'); left = 1", 10)
        with StudentKernel(Direct(job), slot.jobs / job.name) as second:
            setup = "import os"
            assert (
                ask(second, "os.path.exists('/tmp/mark') or os.path.exists('/dev/shm/mark')", setup) is False
            )
            assert ask(second, "'left' in globals()") is False
            assert ask(second, "len([p for p in os.listdir('/proc') if p.isdigit()])", setup) == 2


LIAR = """
import labkit.branch as b
class Long(str):
    def encode(self): return b"[" + b"1," * 9_000_000 + b"]"
    def __len__(self): return 18_000_002
b.answer = lambda *arguments: Long()
"""


def test_a_reply_that_is_no_value_is_refused_without_being_parsed() -> None:
    with kernel_in(Sandbox(LIMITS)) as kernel:
        kernel.run(LIAR, 20)
        with contextlib.closing(kernel.branch()) as branch, pytest.raises(KernelLost, match="not a value"):
            branch.call("x", 20)


def test_a_copy_that_is_killed_does_not_take_the_notebook_with_it() -> None:
    with kernel_in(Sandbox(LIMITS)) as kernel:
        branch = kernel.branch()
        branch.define("def end():\n    import os\n    os._exit(1)", 10)
        with pytest.raises(KernelLost) as loss:
            branch.call(values.encode(["end", [], {}]), 20)
        assert loss.value.outcome is Outcome.ERROR
        assert ask(kernel, "1 + 1") == 2
