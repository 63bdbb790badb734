"""Set-up: where labkit came from, a second run, bad machines; labkit alone runs a lab."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

from autograder.build.builder import build_lab
from autograder.course import ROOT, Instance, load_course
from autograder.quality.handins import reference_notebook

SITE = (ROOT / ".venv").resolve() / "lib" / "python3.11" / "site-packages"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with additions to the environment."""
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


def test_labkit_came_from_this_checkout() -> None:
    (record,) = SITE.glob("labkit-*.dist-info/direct_url.json")
    assert json.loads(record.read_text())["url"] == ROOT.joinpath("labkit").as_uri()
    assert "labkit" not in (ROOT / "requirements" / "course.lock").read_text()


def test_a_second_setup_installs_nothing() -> None:
    done = run(sys.executable, str(ROOT / "scripts" / "setup.py"), "--tests")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_torch_has_no_cuda_build() -> None:
    done = run(
        str(ROOT / ".venv" / "bin" / "python"),
        "-c",
        "import torch; print(torch.__version__, torch.version.cuda)",
    )
    assert done.stdout.split() == ["2.13.0+cpu", "None"] or done.stdout.split()[1] == "None"
    assert not list(SITE.glob("nvidia_cu*"))


def test_staff_packages_are_not_in_the_students_environment() -> None:
    probe = "import importlib.util as u; print([n for n in ('autograder', 'reference_impl', 'heldout') if u.find_spec(n)])"
    assert run(str(ROOT / ".venv" / "bin" / "python"), "-I", "-c", probe).stdout.strip() == "[]"
    assert (ROOT / ".venv-staff").stat().st_mode & 0o077 == 0


@pytest.fixture
def setup_module() -> Iterator[ModuleType]:
    """scripts/setup.py as a module."""
    spec = importlib.util.spec_from_file_location("course_setup", ROOT / "scripts" / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


def test_a_missing_system_package_prints_the_line_to_run(
    setup_module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_module, "IS_ROOT", False)
    monkeypatch.setattr(
        setup_module.shutil, "which", lambda tool: None if tool == "bwrap" else f"/usr/bin/{tool}"
    )
    with pytest.raises(setup_module.SetupFailed, match="apt-get install -y bubblewrap"):
        setup_module.check_system_packages()


def test_root_gets_the_tests_packages_without_a_database_server(
    setup_module: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Does Debian's package find the setting that keeps it from making a cluster, and is it gone afterwards?"""
    setting = tmp_path / "createcluster.d" / "course.conf"
    seen: list[tuple[list[str], str]] = []
    monkeypatch.setattr(setup_module, "IS_ROOT", True)
    monkeypatch.setattr(setup_module, "SERVERS", tmp_path)
    monkeypatch.setattr(setup_module, "CLUSTER_SETTING", setting)
    monkeypatch.setattr(setup_module, "POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(
        setup_module, "install_system", lambda packages: seen.append((packages, setting.read_text()))
    )
    monkeypatch.setattr(setup_module.shutil, "which", lambda tool: f"/usr/bin/{tool}")
    setup_module.check_test_packages()
    assert len(seen) == 1 and "postgresql" in seen[0][0] and seen[0][1] == "create_main_cluster = off\n"
    assert not setting.parent.exists() and not (tmp_path / "policy-rc.d").exists()


def test_anyone_else_is_told_once(
    setup_module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(setup_module, "IS_ROOT", False)
    monkeypatch.setattr(setup_module, "SERVERS", tmp_path)
    monkeypatch.setattr(setup_module, "ROOT", tmp_path)
    (tmp_path / ".venv-staff").mkdir()
    setup_module.check_test_packages()
    assert "as root: apt-get install -y postgresql" in capsys.readouterr().out
    setup_module.check_test_packages()
    assert capsys.readouterr().out == ""


def test_a_failed_step_shows_its_output(setup_module: ModuleType) -> None:
    with pytest.raises(setup_module.SetupFailed, match=r"(?s)trying failed:\nno such package.*command: "):
        setup_module.run([sys.executable, "-c", "print('no such package'); raise SystemExit(1)"], "trying")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labkit's wheel, built as pip builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    python = str(ROOT / ".venv" / "bin" / "python")
    done = run(
        python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT / "labkit")
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("labkit-*.whl")
    return file


def test_the_wheel_holds_labkit_and_nothing_of_staff(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        text = b"".join(archive.read(name) for name in names if name.endswith((".py", ".md", ".json")))
    assert {name.split("/")[0].split("-")[0] for name in names} == {"labkit"}
    for needed in ("labkit/checks.py", "labkit/py.typed", "labkit/assets/MANIFEST.json"):
        assert needed in names
    assert any(name.endswith("bert.safetensors") for name in names)
    for secret in (b"BEGIN SOLUTION", b"BEGIN HIDDEN", b"reference_impl.quantization"):
        assert secret not in text


@pytest.fixture(scope="module")
def laptop(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds labkit from its wheel, and the libraries by path, so that no gigabyte is copied."""
    folder = tmp_path_factory.mktemp("laptop") / "env"
    venv.create(folder, with_pip=True, symlinks=True)
    done = run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel))
    assert done.returncode == 0, done.stderr
    site = folder / "lib" / "python3.11" / "site-packages"
    (site / "libraries.pth").write_text(f"{SITE}\n")
    where = run(str(folder / "bin" / "python"), "-c", "import labkit; print(labkit.__file__)")
    assert where.stdout.strip() == str(site / "labkit" / "__init__.py")
    return folder


def test_a_filled_in_notebook_runs_with_labkit_alone(
    laptop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tmp_path / "jupyter" / "kernels" / "laptop"
    kernel.mkdir(parents=True)
    argv = [str(laptop / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "laptop", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    course = load_course()
    bundle = build_lab(course.labs[0], course, Instance(tmp_path / "instance"))
    notebook = reference_notebook(bundle.notebook("03-Dynamic_Quantization"))
    for cell in notebook.cells:
        assert "reference_impl" not in cell.source and "heldout" not in cell.source
    place = tmp_path / "student"
    place.mkdir()
    run_options = {"kernel_name": "laptop", "timeout": 120, "resources": {"metadata": {"path": str(place)}}}
    NotebookClient(notebook, **run_options).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    graded = sum(cell.kind == "grade" for cell in bundle.notebook("03-Dynamic_Quantization").cells)
    assert sum(output.get("text", "").count("ok  ") for output in outputs) >= graded
    assert list(place.iterdir()) == []


def test_percent_notebooks_are_what_jupytext_writes() -> None:
    for path in sorted((ROOT / "source").glob("*/*.py")):
        notebook = jupytext.read(path)
        assert nbformat.validate(nbformat.from_dict(notebook)) is None
        assert notebook.metadata["kernelspec"]["name"] == "python3"
