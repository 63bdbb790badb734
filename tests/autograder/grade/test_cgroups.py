"""Control groups: found as the machine has them, limits written where each version reads them, nothing left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autograder.grade import cgroups
from autograder.grade.cgroups import Bounds, Hierarchy, find, hierarchy

BOUNDS = Bounds(memory=64 << 20, processes=20, cpus=1.0)


def unified(
    folder: Path, controllers: str = "cpu memory pids", handed_down: str = "cpu memory pids"
) -> tuple[str, str]:
    """A folder that looks like the one group of version 2 that this process is in; /proc's two texts about it."""
    own = folder / "user.slice"
    own.mkdir()
    (own / "cgroup.controllers").write_text(controllers)
    (own / "cgroup.subtree_control").write_text(handed_down)
    return f"cgroup2 {folder} cgroup2 rw,nosuid 0 0\n", "0::/user.slice\n"


def test_version_2_is_used_where_its_controllers_are_handed_down(tmp_path: Path) -> None:
    found = find(*unified(tmp_path))
    assert found == Hierarchy(dict.fromkeys(("memory", "pids", "cpu"), tmp_path / "user.slice"), 2)
    group = found.make(BOUNDS)
    (folder,) = set(group.folders.values())
    texts = {file.name: file.read_text() for file in folder.iterdir()}
    assert texts == {
        "memory.max": str(64 << 20),
        "memory.swap.max": "0",
        "pids.max": "20",
        "cpu.max": "100000 100000",
    }
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert group.out_of_memory()


def test_controllers_are_handed_down_by_a_group_of_ones_own(tmp_path: Path) -> None:
    found = find(*unified(tmp_path, handed_down=""))
    own = tmp_path / "user.slice"
    assert found is not None and found.version == 2
    assert (own / "course-self" / "cgroup.procs").read_text() == str(os.getpid())
    assert (own / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_version_1_comes_first_because_its_trees_hold_the_controllers(tmp_path: Path) -> None:
    mounts, own = unified(tmp_path, controllers="", handed_down="")
    memory = tmp_path / "memory" / "session"
    memory.mkdir(parents=True)
    mounts = f"cgroup {tmp_path / 'memory'} cgroup rw,memory 0 0\n{mounts}"
    assert find(mounts, f"4:memory:/session\n{own}") == Hierarchy({"memory": memory}, 1)


@pytest.mark.parametrize("mounts", ["", "cgroup2 /nowhere cgroup2 ro 0 0\n"])
def test_none_is_no_error(mounts: str) -> None:
    assert find(mounts, "0::/\n") is None


def test_groups_of_processes_that_are_gone_are_swept(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    for name in (f"course-{ended.pid}-0", f"course-{os.getpid()}-0", "another"):
        (tmp_path / name).mkdir()
    Hierarchy({"memory": tmp_path}, 1).sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["another", f"course-{os.getpid()}-0"])


@pytest.mark.skipif(hierarchy() is None, reason="this account may make no control group here")
def test_a_real_group_ends_what_takes_too_much_and_is_removed() -> None:
    found = hierarchy()
    assert found is not None
    group = found.make(BOUNDS)
    program = "import sys; sys.stdin.read(1); a = bytearray(200 << 20); print(sum(a[::4096]))"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    group.add(child.pid)
    child.communicate(b"x")
    if "memory" in found.folders:
        assert child.returncode == -9 and group.out_of_memory()
    group.remove()
    assert not any(folder.exists() for folder in group.folders.values())


def test_a_group_that_cannot_be_emptied_is_reported(tmp_path: Path) -> None:
    group = cgroups.Group({"memory": tmp_path}, 1)
    (tmp_path / "busy").touch()
    with pytest.raises(OSError, match="not empty"):
        group.remove(patience=0.05)
