"""Primitives: integer grids, layers by name, captured inputs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import ops, zoo


@settings(max_examples=40, deadline=None)
@given(bits=st.integers(2, 8), rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 999))
def test_snap_is_on_a_symmetric_grid_within_half_a_step(
    bits: int, rows: int, columns: int, seed: int
) -> None:
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    top = 2 ** (bits - 1) - 1
    for axis in (None, 0, 1, -1):
        y = ops.snap(x, bits, axis=axis)
        peak = x.abs().amax() if axis is None else x.abs().amax(1 - axis % 2, keepdim=True)
        step = (peak / top).clamp_min(1e-12)
        levels = y / step
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
        assert levels.abs().max() <= top + 1e-3
        assert ((x - y).abs() <= step / 2 * 1.01).all()
        torch.testing.assert_close(ops.snap(y, bits, axis=axis), y)


def test_snap_clips_at_a_given_limit() -> None:
    assert ops.snap(torch.tensor([-9.0, 0.2, 9.0]), 4, limit=7.0).tolist() == [-7.0, 0.0, 7.0]


@settings(max_examples=40, deadline=None)
@given(low=st.floats(-8, 8), width=st.floats(0, 16), bits=st.integers(2, 8))
def test_snap_between_keeps_zero_and_its_levels(low: float, width: float, bits: int) -> None:
    x = torch.linspace(low, low + width, 97)
    y = ops.snap_between(x, low, low + width, bits)
    assert len(y.unique()) <= 2**bits
    assert ops.snap_between(torch.zeros(3), low, low + width, bits).tolist() == [0.0, 0.0, 0.0]


def test_wrong_arguments_are_named() -> None:
    x = torch.randn(3, 3)
    for bits in (1, 17):
        with pytest.raises(ValueError, match="bits is"):
            ops.snap(x, bits)
    with pytest.raises(ValueError, match="limit is for one scale"):
        ops.snap(x, axis=0, limit=1.0)
    with pytest.raises(ValueError, match="above high"):
        ops.snap_between(x, 1, 0)


def test_layers_by_name_and_their_replacement() -> None:
    model = zoo.build("bert")
    layers = ops.linear_layers(model, skip=("classifier", "pooler"))
    assert len(layers) == 4 * 6 and all("encoder" in name for name in layers)
    name = next(iter(layers))
    replacement = torch.nn.Identity()
    ops.set_module(model, name, replacement)
    assert model.get_submodule(name) is replacement
    with pytest.raises(AttributeError, match="no module called"):
        ops.set_module(model, "bert.nothing", replacement)


def test_inputs_are_captured_in_eval_mode_and_hooks_go_away() -> None:
    model = zoo.build("encoder").train()
    batches = [{"pixel_values": torch.randn(2, 1, 28, 28), "labels": torch.zeros(2)} for _ in range(3)]
    first, second = (ops.layer_inputs(model, ["layers.0.fc1", "classifier"], batches) for _ in range(2))
    assert first["layers.0.fc1"].shape == (3 * 2 * 16, 64) and first["classifier"].shape == (6, 64)
    assert torch.equal(first["classifier"], second["classifier"]) and model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    with pytest.raises(TypeError):
        ops.layer_inputs(model, ["classifier"], [{"pixels": torch.zeros(1)}])
    assert model.training and not any(module._forward_pre_hooks for module in model.modules())


def test_snapped_weights_have_few_values_and_skip_what_they_should() -> None:
    model = ops.snap_weights(zoo.build("encoder"), 3, axis=None, skip=("classifier",))
    assert all(
        len(layer.weight.unique()) <= 7 for layer in ops.linear_layers(model, skip=("classifier",)).values()
    )
    assert len(model.get_submodule("classifier").weight.unique()) > 7  # type: ignore[operator, union-attr]


@pytest.mark.parametrize(("bits", "size"), [(4, 8), (3, 24), (8, -1), (2, 4)])
def test_groups_of_inputs_have_grids_of_their_own(bits: int, size: int) -> None:
    weight = torch.randn(5, 24, generator=torch.Generator().manual_seed(bits))
    snapped = ops.snap_groups(weight, bits, size)
    width = 24 if size == -1 else size
    for group, restored in zip(weight.reshape(-1, width), snapped.reshape(-1, width), strict=True):
        alone = ops.snap_between(group, group.min().item(), group.max().item(), bits)
        torch.testing.assert_close(restored, alone)


@pytest.mark.parametrize("size", [0, 5, 48])
def test_groups_that_do_not_divide_a_row_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="do not divide 24 inputs"):
        ops.snap_groups(torch.ones(2, 24), group_size=size)


def test_weight_layers_are_matrices_that_are_no_embedding() -> None:
    gpt2 = ops.weight_layers(zoo.load("gpt2"))
    assert len(gpt2) == 16 and "lm_head" not in gpt2
    assert gpt2["transformer.h.0.attn.c_attn"].weight.shape == (128, 384)  # in, out
    assert "lm_head" not in ops.weight_layers(zoo.load("llama"))
    bert = ops.weight_layers(zoo.load("bert"), skip=("classifier",))
    assert set(bert) == set(ops.linear_layers(zoo.load("bert"), skip=("classifier",)))
