"""The two benches with small numbers: what they report, and that they refuse what cannot be compared."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psutil
import pytest

from autograder.course import Course, load_course
from autograder.errors import ConfigurationError, CourseError, QualityError
from autograder.quality import bench_grade, bench_scale, stand_in
from autograder.quality.bench_scale import EngineRun, ScaleBench
from autograder.quality.measured import measure, workers_of
from tests.conftest import MiniLab

KEYS = {
    "throughput_ratio",
    "limit_ratio",
    "overhead_cpu_seconds_per_notebook",
    "scaling_1_to_2",
    "peak_worker_mb",
    "engine_ms_per_job",
    "rerun_ratio",
    "submissions",
    "machine",
}
SCORE = ("ada", "01-Scale", "test_largest")


@pytest.mark.timeout(900)
@pytest.mark.nightly
def test_a_small_bench_reports_every_key_and_scores_agree(mini: MiniLab) -> None:
    told: list[str] = []
    result = bench_grade.bench_grade(
        mini.course, [(mini.lab, "01-Scale")], 2, lambda what, done, total: told.append(what), engine_jobs=5
    ).to_dict()
    assert result.keys() >= KEYS and json.loads(json.dumps(result)) == result
    assert result["submissions"] == 2 and len(told) == 7
    assert all(value > 0 for value in result.values() if isinstance(value, float | int))


def test_equal_scores_pass_and_one_that_differs_is_named() -> None:
    bench_grade.require_same({SCORE: 30.0}, {SCORE: 30.0}, "ours and theirs")
    message = "ours and theirs disagree on 1 cells: ada/01-Scale/test_largest: 30.0, 0.0"
    with pytest.raises(QualityError, match=re.escape(message)):
        bench_grade.require_same({SCORE: 30.0}, {SCORE: 0.0}, "ours and theirs")
    with pytest.raises(QualityError, match=r"30\.0, None"):
        bench_grade.require_same({SCORE: 30.0}, {}, "ours and theirs")


def test_notebooks_are_named_by_lab_and_start() -> None:
    course = load_course()
    found = bench_grade.chosen_notebooks(course, bench_grade.NOTEBOOKS)
    assert [notebook[:2] for _, notebook in found] == ["03", "01", "04", "01"]
    assert len({lab.id for lab, _ in found}) == 4
    for name in ("Lab-3.1", "Lab-3.1:05", "Lab-3.1:0", "Lab-9:01"):
        with pytest.raises(ConfigurationError):
            bench_grade.chosen_notebooks(course, [name])


def test_every_hand_in_is_unlike_the_others(mini: MiniLab) -> None:
    made = [bench_grade.unique_reference(mini.master, number) for number in range(2)]
    different = [a for a, b in zip(made[0].cells, made[1].cells, strict=True) if a.source != b.source]
    assert len(different) == 1 and different[0].source.endswith("\n# hand-in 0")


def test_a_command_that_fails_is_shown(tmp_path: Path) -> None:
    with pytest.raises(QualityError, match="no such thing"):
        measure(["sh", "-c", "echo no such thing >&2; exit 3"], tmp_path)


def test_a_command_is_measured_with_what_it_waited_for(tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo $i"
    done = measure(["sh", "-c", f"sh -c '{script}'"], tmp_path)
    assert done.output == "300000\n" and done.cpu_seconds > 0
    assert done.template_cpu_seconds == 0


def test_workers_are_killed_and_nothing_is_lost_or_doubled() -> None:
    seen: list[tuple[int, int]] = []
    run = bench_scale.run_engine(6, 5, 0.001, 2, 2, lambda done, total: seen.append((done, total)))
    assert (run.jobs, run.results, run.faults, run.lost, run.doubled, run.killed) == (30, 30, 0, 0, 0, 2)
    assert seen[-1] == (30, 30) and run.client_mb > 0
    assert workers_of(psutil.Process()) == []


def test_a_lost_job_is_an_error(mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> None:
    run = EngineRun(30, 29, 0, 1, 0, 2, 1.0, 1.0, 100.0, 90.0)
    monkeypatch.setattr(bench_scale, "run_engine", lambda *_: run)
    with pytest.raises(QualityError, match="1 jobs were lost"):
        bench_scale.bench_scale(
            mini.course, mini.lab, students=1, notebooks=1, scale=0, workers=2, kills=0, written=1,
            engine_advance=lambda *_: None, writer_advance=lambda *_: None,
        )  # fmt: skip


def test_the_writer_stores_what_the_cache_knows(mini: MiniLab) -> None:
    seen: list[tuple[int, int]] = []
    rate = bench_scale.run_writer(mini.lab, mini.course, 2, lambda done, total: seen.append((done, total)))
    assert rate > 0 and seen[-1] == (2, 2)


def test_a_cache_filled_under_other_keys_is_noticed(mini: MiniLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_scale, "job_key", lambda *_: "0" * 64)
    with pytest.raises(CourseError, match="under other keys"):
        bench_scale.run_writer(mini.lab, mini.course, 1, lambda *_: None)


def test_durations_cover_the_whole_course() -> None:
    course: Course = load_course()
    numbers = [lab.id.split("-")[1] for lab in course.labs]
    expected = [f"{number} / {count:02d}" for number in numbers for count in range(1, 5)]
    assert list(bench_scale.recorded()) == expected


def test_a_stand_in_answers_like_a_judge() -> None:
    job = stand_in.job("01-Scale", 0.0)
    found = json.loads(stand_in.judge(json.dumps(job).encode()))
    assert json.loads(found["verdict"])["notebook"] == "01-Scale"


def test_the_extrapolation_is_by_the_measured_rate() -> None:
    run = EngineRun(1, 1, 0, 0, 0, 0, 1.0, 1.0, 100.0, 90.0)
    result = ScaleBench(run, "Lab", 60, 2.0, "machine")
    assert result.hours_for(3600) == 0.5
    assert result.to_dict()["writer_handins_per_second"] == 2.0 and "engine" not in result.to_dict()
