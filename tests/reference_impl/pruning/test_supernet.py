"""Subnets of a supernet: their numbers, their weights, their size and their training."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from labkit import evaluation, zoo
from reference_impl.pruning.search_space import decode, encode, random_subnet
from reference_impl.pruning.supernet import count_params, sandwich_step, slice_subnet

SPACE: dict[str, Any] = {"layers": 6, "heads": [1, 2, 3, 4], "ffn": [32, 64, 128, 256]}
SIZES = {"width": 64, "head_size": 16, "patch": 49, "tokens": 16, "labels": 10}


@st.composite
def spaces(draw: st.DrawFn) -> dict[str, Any]:
    def values() -> list[int]:
        return sorted(draw(st.sets(st.integers(1, 9), min_size=1, max_size=3)))

    return {"layers": draw(st.integers(1, 3)), "heads": values(), "ffn": values()}


@st.composite
def subnets(draw: st.DrawFn, space: dict[str, Any] = SPACE) -> dict[str, list[int]]:
    depth = draw(st.integers(1, space["layers"]))
    heads = draw(st.lists(st.sampled_from(space["heads"]), min_size=depth, max_size=depth))
    return {
        "heads": heads,
        "ffn": draw(st.lists(st.sampled_from(space["ffn"]), min_size=depth, max_size=depth)),
    }


@given(space=spaces())
@settings(max_examples=30, deadline=None)
def test_the_numbers_have_no_gap(space: dict[str, Any]) -> None:
    kinds = len(space["heads"]) * len(space["ffn"])
    count = sum(kinds**depth for depth in range(1, space["layers"] + 1))
    seen = [decode(number, space) for number in range(count)]
    assert [encode(subnet, space) for subnet in seen] == list(range(count))
    depths = [len(subnet["heads"]) for subnet in seen]
    assert depths == sorted(depths)
    for wrong in (-1, count):
        with pytest.raises(ValueError, match="no subnet"):
            decode(wrong, space)


@given(subnet=subnets())
@settings(deadline=None)
def test_a_subnet_comes_back_from_its_number(subnet: dict[str, list[int]]) -> None:
    assert decode(encode(subnet, SPACE), SPACE) == subnet


@pytest.mark.parametrize(
    "subnet",
    [
        {"heads": [1], "ffn": [32, 32]},
        {"heads": [], "ffn": []},
        {"heads": [1] * 7, "ffn": [32] * 7},
        {"heads": [5], "ffn": [32]},
        {"heads": [1], "ffn": [33]},
    ],
)
def test_what_is_no_subnet_has_no_number(subnet: dict[str, list[int]]) -> None:
    with pytest.raises(ValueError, match=r"entries|not in list"):
        encode(subnet, SPACE)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_random_subnets_are_of_the_space(seed: int) -> None:
    subnet = random_subnet(SPACE, torch.Generator().manual_seed(seed))
    assert decode(encode(subnet, SPACE), SPACE) == subnet


def test_every_depth_is_drawn_equally_often() -> None:
    generator = torch.Generator().manual_seed(0)
    depths = [len(random_subnet(SPACE, generator)["heads"]) for _ in range(1_200)]
    assert all(150 <= depths.count(depth) <= 250 for depth in range(1, 7))


@given(subnet=subnets())
@settings(max_examples=15, deadline=None)
def test_the_slices_are_the_subnet(subnet: dict[str, list[int]]) -> None:
    network: Any = zoo.build("supernet", seed=2).eval()
    small: Any = zoo.build("supernet", seed=3, **subnet).eval()
    state = network.state_dict()
    before = {name: value.clone() for name, value in state.items()}
    small.load_state_dict(slice_subnet(state, subnet, 16))
    pictures = torch.randn(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(small(pictures), network(pictures, **subnet), atol=1e-5, rtol=1e-5)
    assert count_params(subnet, **SIZES) == evaluation.parameter_count(small)
    with torch.no_grad():
        for value in small.parameters():
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_slice_does_not_share_memory() -> None:
    state = zoo.build("supernet").state_dict()
    subnet = {"heads": [4] * 6, "ffn": [256] * 6}
    cut = slice_subnet(state, subnet, 16)
    assert cut.keys() == state.keys()
    assert all(cut[name].data_ptr() != value.data_ptr() for name, value in state.items())


def test_the_gradient_is_that_of_the_sum_of_losses() -> None:
    network: Any = zoo.build("supernet", seed=4).double()
    generator = torch.Generator().manual_seed(1)
    batch = {
        "pixel_values": torch.randn(5, 1, 28, 28, generator=generator, dtype=torch.float64),
        "labels": torch.randint(0, 10, (5,), generator=generator),
    }
    others = [random_subnet(SPACE, generator) for _ in range(2)]
    twin = copy.deepcopy(network)
    losses = sandwich_step(network, batch, SPACE, others)
    teacher = twin(batch["pixel_values"])
    target = teacher.detach().softmax(-1)
    expected = [functional.cross_entropy(teacher, batch["labels"])]
    for subnet in ({"heads": [1], "ffn": [32]}, *others):
        own = twin(batch["pixel_values"], **subnet).log_softmax(-1)
        expected.append((target * (target.log() - own)).sum(-1).mean())
    sum(expected).backward()  # type: ignore[union-attr]
    assert losses == pytest.approx([value.item() for value in expected])
    for mine, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
        assert torch.equal(mine, theirs)
    first = [value.grad.clone() for value in network.parameters()]
    sandwich_step(network, batch, SPACE, others)
    for value, once in zip(network.parameters(), first, strict=True):
        torch.testing.assert_close(value.grad, 2 * once)
