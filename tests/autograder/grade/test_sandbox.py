"""What a process in the sandbox can see and do, asked from inside."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

import pytest

from autograder.course import ROOT
from autograder.errors import SandboxError
from autograder.grade import sandbox as sandbox_module
from autograder.grade.kernel import KernelLost, StudentKernel
from autograder.grade.sandbox import Sandbox
from tests.conftest import LIMITS


@pytest.fixture(scope="module")
def kernel() -> Iterator[StudentKernel]:
    """One kernel in the sandbox for all questions."""
    with StudentKernel(Sandbox(LIMITS), []) as started:
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
    assert isinstance(pids, list) and len(pids) <= 3


def test_a_missing_bubblewrap_is_refused_with_the_line_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        sandbox_module.shutil,
        "which",
        lambda tool, path=None: None if tool == "bwrap" else f"/usr/bin/{tool}",
    )
    with (
        pytest.raises(SandboxError, match=r"apt-get install -y bubblewrap .*--unsafe-no-sandbox"),
        StudentKernel(Sandbox(LIMITS), []),
    ):
        raise AssertionError("a kernel started without a sandbox")


def test_a_kernel_leaves_nothing_behind() -> None:
    with StudentKernel(Sandbox(LIMITS), []) as started:
        folder, process = started.folder, started.process
    assert not folder.exists() and process.poll() is not None


def test_only_sized_folders_can_be_written(kernel: StudentKernel) -> None:
    # an ordinary user's sandbox runs under that user's account, which owns the socket folder
    sockets = ["/kernel/x"] if os.geteuid() == 0 else []
    for place in ("/x", "/dev/x", "/etc/x", *sockets):
        result = kernel.run(f"open({place!r}, 'w')", 10)
        assert result.error is not None and result.error[0] in ("OSError", "PermissionError"), place
    for place in ("/tmp", "/box", "/dev/shm"):
        size = f"os.statvfs({place!r}).f_blocks * os.statvfs({place!r}).f_frsize"
        assert ask(kernel, size, "import os") == LIMITS.disk << 20


def test_no_further_namespace_can_be_made(kernel: StudentKernel) -> None:
    assert ask(kernel, "ctypes.CDLL(None).unshare(0x10000000)", "import ctypes") == -1


LIAR = """
import labkit.probe as p
kept = p.answer
class Long:
    def __repr__(self):
        return "[" + "1," * 9_000_000 + "]"
p.answer = lambda *arguments: Long()
"""


def test_a_reply_that_is_no_value_is_refused_without_being_parsed(kernel: StudentKernel) -> None:
    kernel.run(LIAR, 20)
    with pytest.raises(KernelLost, match="not a value"):
        kernel.call("x", 20)
    kernel.run("p.answer = kept", 10)
