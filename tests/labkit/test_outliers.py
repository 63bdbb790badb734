"""Outlier channels: there, and without effect on what the model computes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labkit.zoo.outliers import FACTOR, add_outlier_channels

from labkit import ops, zoo


def test_the_trained_model_is_llama_bit_for_bit() -> None:
    try:
        plain, spiky = zoo.load("llama"), zoo.load("llama-outliers")
    except zoo.Unavailable as reason:
        pytest.skip(str(reason))
    ids = torch.randint(2, 512, (4, 128))
    with torch.no_grad():
        assert torch.equal(plain(input_ids=ids).logits, spiky(input_ids=ids).logits)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-6, 8))
def test_any_power_of_two_keeps_the_function(seed: int, exponent: int) -> None:
    model = zoo.build("llama", seed=seed, num_hidden_layers=2).eval()
    ids = torch.randint(2, 512, (2, 24), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        before = model(input_ids=ids).logits
        assert torch.equal(
            before, add_outlier_channels(model, factor=2.0**exponent, seed=seed)(input_ids=ids).logits
        )


def test_six_norm_channels_and_twelve_up_rows_stand_out() -> None:
    plain, spiky = zoo.build("llama"), add_outlier_channels(zoo.build("llama"))
    for mine, theirs in zip(plain.model.layers, spiky.model.layers, strict=True):  # type: ignore[union-attr, arg-type]
        for norm in ("input_layernorm", "post_attention_layernorm"):
            ratio = getattr(theirs, norm).weight / getattr(mine, norm).weight
            assert sorted(ratio.tolist())[-7:] == [1.0] + [FACTOR] * 6
        rows = theirs.mlp.up_proj.weight.abs().amax(1) / mine.mlp.up_proj.weight.abs().amax(1)
        assert int((rows > 8).sum()) == 12


def test_naive_eight_bit_activations_suffer_from_them() -> None:
    """The outliers matter: one scale for a whole activation loses far more than without them."""
    ids = torch.randint(2, 512, (4, 64))
    errors = {}
    for name, model in {
        "plain": zoo.build("llama"),
        "spiky": add_outlier_channels(zoo.build("llama")),
    }.items():
        layer = "model.layers.1.mlp.gate_proj"
        x = ops.layer_inputs(model, [layer], [{"input_ids": ids}])[layer]
        weight = model.get_submodule(layer).weight.detach()  # type: ignore[union-attr, operator]
        exact, rounded = x @ weight.T, ops.snap(x, 8) @ weight.T
        errors[name] = float((exact - rounded).pow(2).mean() / exact.pow(2).mean())
    assert errors["spiky"] > 20 * errors["plain"]


@pytest.mark.parametrize("factor", [30.0, 0.0, -2.0])
def test_other_factors_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="power of two"):
        add_outlier_channels(zoo.build("llama"), factor=factor)
