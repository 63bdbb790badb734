"""The supernet: gates compute what a network of the subnet's own size computes, and weights are shared."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from labkit import zoo

SUBNETS = [
    {"heads": [4] * 6, "ffn": [256] * 6},
    {"heads": [1], "ffn": [32]},
    {"heads": [2, 4, 1], "ffn": [64, 32, 256]},
]


@pytest.fixture
def network() -> Any:
    return zoo.build("supernet", seed=1).eval()


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randn(3, 1, 28, 28)


def test_without_a_subnet_everything_runs(network: Any, pictures: torch.Tensor) -> None:
    whole = network(pictures)
    assert whole.shape == (3, 10) and network.sizes() == ([4] * 6, [256] * 6)
    assert torch.equal(whole, network(pictures, **SUBNETS[0]))


@pytest.mark.parametrize("subnet", SUBNETS[1:])
def test_only_the_first_parts_of_a_subnet_matter(
    network: Any, pictures: torch.Tensor, subnet: dict[str, list[int]]
) -> None:
    before = network(pictures, **subnet)
    with torch.no_grad():
        for number, layer in enumerate(network.layers):
            heads, inner = 0, 0
            if number < len(subnet["heads"]):
                heads, inner = subnet["heads"][number], subnet["ffn"][number]
            layer.q_proj.weight[16 * heads :] = 5.0
            layer.v_proj.bias[16 * heads :] = -3.0
            layer.o_proj.weight[:, 16 * heads :] = 2.0
            layer.fc1.weight[inner:] = 1.0
            layer.fc2.weight[:, inner:] = 7.0
    torch.testing.assert_close(network(pictures, **subnet), before)
    assert not torch.allclose(network(pictures), before)


def test_a_network_is_built_in_the_size_of_a_subnet(pictures: torch.Tensor) -> None:
    small: Any = zoo.build("supernet", heads=[2, 4, 1], ffn=[64, 32, 256])
    assert small.sizes() == ([2, 4, 1], [64, 32, 256])
    assert small.layers[0].q_proj.weight.shape == (32, 64) and small.layers[2].fc2.weight.shape == (64, 256)
    assert small(pictures).shape == (3, 10)


def test_gradients_stay_inside_the_subnet(network: Any, pictures: torch.Tensor) -> None:
    network(pictures, heads=[2], ffn=[64]).square().sum().backward()
    first, second = network.layers[0], network.layers[1]
    assert second.fc1.weight.grad is None
    assert first.fc1.weight.grad[:64].abs().min() >= 0 and first.fc1.weight.grad[:64].any()
    assert not first.fc1.weight.grad[64:].any() and not first.v_proj.weight.grad[32:].any()
    assert first.v_proj.weight.grad[:32].any() and network.embed.weight.grad.any()


@pytest.mark.parametrize(
    ("heads", "ffn"),
    [([1], None), (None, [32]), ([], []), ([1, 1], [32]), ([1] * 7, [32] * 7), ([5], [32]), ([0], [32])],
)
def test_what_is_no_subnet_is_refused(
    network: Any, pictures: torch.Tensor, heads: list[int] | None, ffn: list[int] | None
) -> None:
    with pytest.raises(ValueError, match="subnet"):
        network(pictures, heads=heads, ffn=ffn)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="heads for 1 layers and ffn for 2"):
        zoo.build("supernet", heads=[1], ffn=[32, 32])
    with pytest.raises(ValueError, match="multiple of patch size"):
        zoo.build("supernet", patch_size=5)
