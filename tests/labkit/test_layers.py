"""The container for a statically quantized layer."""

import pytest
import torch
from labkit.layers import StaticLinear
from torch import nn


def test_computes_with_the_values_its_integers_stand_for() -> None:
    """Is the output that of the restored input and weight?"""
    codes = torch.tensor([[127, -64], [1, 2]], dtype=torch.int8)
    layer = StaticLinear(codes, torch.tensor([0.01, 0.5]), 0.1, 10, torch.tensor([1.0, -1.0]), input_bits=4)
    x = torch.tensor([[0.26, -0.94], [9.0, -9.0]])
    on_grid = torch.tensor([[0.3, -0.9], [0.5, -1.0]])
    expected = nn.functional.linear(
        on_grid, torch.tensor([[1.27, -0.64], [0.5, 1.0]]), torch.tensor([1.0, -1.0])
    )
    torch.testing.assert_close(layer(x), expected)


def test_its_state_holds_integers() -> None:
    """Is the weight stored in one byte an entry?"""
    layer = StaticLinear(torch.zeros(3, 2, dtype=torch.int8), torch.ones(3), 1.0, 0)
    assert layer.state_dict()["weight_codes"].dtype == torch.int8
    assert "bias" not in layer.state_dict()


def test_floats_are_refused() -> None:
    """Is a weight that is not int8 an error?"""
    with pytest.raises(TypeError, match="int8"):
        StaticLinear(torch.zeros(3, 2), torch.ones(3), 1.0, 0)
