"""Cards: there, complete, and their numbers can be measured again from the stored file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from labkit.zoo.cards import read_facts
from labkit.zoo.tiny import MODELS

import heldout
from labkit import data, evaluation, zoo

TRAINED = ["bert", "vit", "encoder", "supernet", "llama", "mistral", "gpt2"]


@cache
def held_out_rows(task: str) -> dict[str, torch.Tensor]:
    return data.tensors(getattr(heldout, task)())


def facts(name: str) -> dict[str, Any]:
    try:
        return read_facts(name)
    except zoo.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("name", TRAINED)
def test_the_metric_of_the_card_is_measured_again(name: str, trained: Callable[..., Any]) -> None:
    """Another processor may round one sentence or picture in two hundred to another side."""
    written = facts(name)
    rows = held_out_rows(written["task"])
    if written["metric"] == "perplexity":
        rows = {"input_ids": rows["input_ids"]}
    metric, value = evaluation.quality(trained(name), rows)
    assert metric == written["metric"]
    assert value == pytest.approx(written["test"], rel=0.005)


@pytest.mark.parametrize("name", TRAINED)
def test_a_card_says_what_a_reader_needs(name: str) -> None:
    written, text = facts(name), zoo.card(name)
    for part in ("**Data.**", "**Config.**", "**Training.**", "**Command.**", "**Licence.**", "CPU seconds"):
        assert part in text
    assert f"{written['parameters']:,} parameters" in text
    assert len(written["runs"]) >= 3 and len({run["seed"] for run in written["runs"]}) == len(written["runs"])


@pytest.mark.parametrize("name", TRAINED)
def test_the_facts_fit_the_file_and_the_model(name: str, trained: Callable[..., Any]) -> None:
    written = facts(name)
    assert (MODELS / f"{name}.safetensors").stat().st_size == written["bytes"] <= 5_000_000
    assert evaluation.parameter_count(trained(name)) == written["parameters"]


def test_bert_is_in_the_range_the_labs_are_built_on() -> None:
    assert 0.80 <= facts("bert")["test"] <= 0.95


def test_rounding_to_half_precision_costs_nothing() -> None:
    for name in TRAINED:
        written = facts(name)
        assert written["runs"][0]["test_before_rounding"] == pytest.approx(written["test"], rel=0.002)
