"""Generations, exits that learn from the last one, and leaving early."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from labkit import evaluation, zoo
from reference_impl.distillation.self_distillation import born_again, early_exit_loss, exit_early


def mini(seed: int) -> nn.Module:
    """A vit of one layer and width 8."""
    sizes = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2}
    return zoo.build("vit", seed=seed, **sizes)


def pictures(count: int) -> Tensor:
    """Random pictures."""
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(3))


def test_each_generation_is_new_and_comes_near_the_one_before() -> None:
    rows = {"pixel_values": pictures(40), "labels": torch.arange(40) % 10}
    unlabelled = pictures(64)
    family = born_again(mini, rows, unlabelled, generations=2, steps=60, batch=32, learning_rate=0.02)
    answers = [evaluation.logits(network, {"pixel_values": unlabelled}).softmax(dim=-1) for network in family]
    fresh = evaluation.logits(mini(1).eval(), {"pixel_values": unlabelled}).softmax(dim=-1)
    assert (answers[1] - answers[0]).abs().mean() < 0.5 * (fresh - answers[0]).abs().mean()
    assert len({id(parameter) for network in family for parameter in network.parameters()}) == sum(
        1 for network in family for _ in network.parameters()
    )
    assert not any(network.training for network in family)


def test_an_earlier_generation_does_not_change() -> None:
    rows = {"pixel_values": pictures(20), "labels": torch.arange(20) % 10}
    alone = born_again(mini, rows, pictures(32), generations=0, steps=4, batch=16, seed=5)
    family = born_again(mini, rows, pictures(32), generations=2, steps=4, batch=16, seed=5)
    for key, value in alone[0].state_dict().items():
        assert torch.equal(value, family[0].state_dict()[key])


@given(st.integers(0, 2**31), st.integers(2, 5), st.floats(0, 1), st.floats(0.5, 4), st.integers(0, 4))
def test_the_last_exit_learns_from_labels_only(
    seed: int, members: int, alpha: float, temperature: float, known: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    exits = torch.randn(members, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(3, (4,), generator=generator)
    labels[known:] = -100
    early_exit_loss(exits, labels, temperature=temperature, alpha=alpha).backward()
    wanted = torch.zeros(4, 3, dtype=torch.float64)
    if known:
        hot = nn.functional.one_hot(labels[:known], 3)
        wanted[:known] = (exits[-1, :known].detach().softmax(dim=-1) - hot) / known
    assert exits.grad is not None
    torch.testing.assert_close(exits.grad[-1], wanted)


def test_equal_exits_pay_for_labels_only() -> None:
    logits = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0)).expand(3, -1, -1)
    labels = torch.arange(6) % 4
    loss = early_exit_loss(logits, labels, temperature=3.0, alpha=0.25)
    torch.testing.assert_close(loss, (1 + 2 * 0.75) * nn.functional.cross_entropy(logits[0], labels))


@given(st.integers(0, 2**31), st.floats(0, 1.1), st.floats(0, 0.5))
def test_asking_for_more_confidence_never_leaves_earlier(seed: int, confidence: float, more: float) -> None:
    exits = 3 * torch.randn(4, 30, 5, generator=torch.Generator().manual_seed(seed))
    (_, early), (_, late) = exit_early(exits, confidence), exit_early(exits, confidence + more)
    assert bool((late >= early).all())
    assert bool((exit_early(exits, 1.5)[1] == 3).all()) and bool((exit_early(exits, 0.0)[1] == 0).all())


def test_the_answer_is_that_of_the_chosen_exit() -> None:
    exits = 2 * torch.randn(3, 50, 6, generator=torch.Generator().manual_seed(1))
    predicted, chosen = exit_early(exits, 0.6)
    for row in range(50):
        assert predicted[row] == exits[chosen[row], row].argmax()
