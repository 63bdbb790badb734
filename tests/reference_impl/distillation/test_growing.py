"""Larger networks that compute what smaller ones do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labkit import evaluation, training, zoo
from reference_impl.distillation.growing import deepen, grow_optimizer, widen_ffn

ROWS = {"input_ids": torch.randint(2, 512, (4, 7), generator=torch.Generator().manual_seed(2))}


def llama(layers: int, inner: int, seed: int = 0) -> nn.Module:
    made = zoo.build("llama", seed=seed, num_hidden_layers=layers, hidden_size=16, intermediate_size=inner)
    return made.double().eval()


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 2**31))
def test_wider_is_the_same_function(extra: list[int], seed: int) -> None:
    copies = torch.tensor([*range(6), *extra])
    copies = copies[torch.randperm(len(copies), generator=torch.Generator().manual_seed(seed))]
    small, large = llama(2, 6, 1), llama(2, len(copies), 2)
    large.load_state_dict(widen_ffn(small.state_dict(), copies))
    torch.testing.assert_close(
        evaluation.logits(large, ROWS), evaluation.logits(small, ROWS), atol=1e-10, rtol=0
    )


@pytest.mark.parametrize("copies", [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6], [-1, 0, 1, 2, 3, 4, 5]])
def test_copies_that_lose_or_invent_a_unit_are_refused(copies: list[int]) -> None:
    with pytest.raises(ValueError, match="at least once"):
        widen_ffn(llama(1, 6).state_dict(), torch.tensor(copies))


@settings(max_examples=10, deadline=None)
@given(st.sets(st.integers(0, 10)))
def test_deeper_is_the_same_function(after: set[int]) -> None:
    small, large = llama(11, 8, 1), llama(11 + len(after), 8, 2)
    large.load_state_dict(deepen(small.state_dict(), sorted(after)))
    torch.testing.assert_close(
        evaluation.logits(large, ROWS), evaluation.logits(small, ROWS), atol=1e-10, rtol=0
    )


def test_only_the_output_projections_of_a_new_block_learn_at_first() -> None:
    grown = llama(2, 8, 2)
    grown.load_state_dict(deepen(llama(1, 8, 1).state_dict(), [0]))
    training.loss(grown, ROWS).backward()
    moved = {
        name.split(".", 3)[3]
        for name, parameter in grown.named_parameters()
        if name.startswith("model.layers.1.") and bool(parameter.grad.any())
    }
    assert moved == {"self_attn.o_proj.weight", "mlp.down_proj.weight"}


def test_an_optimizer_goes_on() -> None:
    """Growing by nothing and going on is the same as going on."""
    small, large = llama(2, 8, 1), llama(2, 8, 2)
    optimizer = torch.optim.AdamW(small.parameters(), lr=0.01, betas=(0.8, 0.9), weight_decay=0.1)

    def step(model: nn.Module, one: torch.optim.AdamW) -> None:
        one.zero_grad()
        training.loss(model, ROWS).backward()
        one.step()

    step(small, optimizer)
    optimizer.param_groups[0]["lr"] = 0.003
    large.load_state_dict(small.state_dict())
    grown = grow_optimizer(optimizer, small, large, {name: name for name, _ in small.named_parameters()})
    for _ in range(2):
        step(small, optimizer)
        step(large, grown)
    for old, new in zip(small.parameters(), large.parameters(), strict=True):
        torch.testing.assert_close(new, old)


def test_new_and_reshaped_parameters_start_without_a_state() -> None:
    small, large = nn.Linear(2, 3), nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(small.parameters())
    small(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    grown = grow_optimizer(optimizer, small, large, {"weight": "weight"})
    assert len(grown.state) == 0
    assert [id(one) for one in grown.param_groups[0]["params"]] == [id(one) for one in large.parameters()]
