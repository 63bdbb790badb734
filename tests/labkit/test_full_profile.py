"""The full profile, on a small checkpoint saved in hub format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from labkit import zoo

HUB_MODELS = ["bert", "gpt2", "llama", "mistral", "vit"]


@pytest.mark.parametrize("name", HUB_MODELS)
def test_a_saved_checkpoint_loads_by_argument_and_by_variable(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    example: Callable[[str], dict[str, torch.Tensor]],
) -> None:
    saved = zoo.build(name, seed=5).eval()
    saved.save_pretrained(tmp_path / name)  # type: ignore[operator]
    capfd.readouterr()
    by_argument = zoo.load(name, "full", checkpoint=tmp_path / name)
    monkeypatch.setenv("LABKIT_CHECKPOINTS", str(tmp_path))
    by_variable = zoo.load(name, "full", attention="eager")
    inputs = example(name)
    with torch.no_grad():
        expected = saved(**inputs).logits
        torch.testing.assert_close(by_argument(**inputs).logits, expected, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(by_variable(**inputs).logits, expected, atol=2e-5, rtol=1e-4)
    assert not by_argument.training and capfd.readouterr().err == ""


def test_outliers_are_added_to_a_full_llama(tmp_path: Path) -> None:
    zoo.build("llama", seed=5).save_pretrained(tmp_path)  # type: ignore[operator]
    plain = zoo.load("llama", "full", checkpoint=tmp_path)
    spiky = zoo.load("llama-outliers", "full", checkpoint=tmp_path)
    ids = torch.randint(5, 500, (2, 16))
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, spiky(input_ids=ids).logits)


def test_the_tokenizer_comes_from_the_checkpoint(tmp_path: Path) -> None:
    zoo.build("llama").save_pretrained(tmp_path)  # type: ignore[operator]
    zoo.tokenizer("llama").save_pretrained(tmp_path)
    text = "The state of the Union"
    loaded = zoo.tokenizer("llama", "full", checkpoint=tmp_path)
    assert loaded(text)["input_ids"] == zoo.tokenizer("llama")(text)["input_ids"]


def test_no_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("LABKIT_CHECKPOINTS", raising=False)
    with pytest.raises(zoo.Unavailable, match="needs a GPU") as caught:
        zoo.load("llama", "full")
    assert "\n" not in str(caught.value)


def test_nothing_is_fetched_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a GPU but without the weights, the hub's own message becomes one line."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("LABKIT_CHECKPOINTS", raising=False)
    monkeypatch.delenv("LABKIT_DOWNLOAD", raising=False)
    with pytest.raises(zoo.Unavailable, match="LABKIT_DOWNLOAD=1") as caught:
        zoo.load("gpt2", "full")
    assert "\n" not in str(caught.value)


def test_a_wrong_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(zoo.Unavailable, match=r"config\.json in"):
        zoo.load("bert", "full", checkpoint=tmp_path)


def test_the_course_encoder_has_no_full_size() -> None:
    with pytest.raises(zoo.Unavailable, match="own model"):
        zoo.load("encoder", "full")
