"""Distilling a language model."""

import copy

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from labkit import zoo
from reference_impl.distillation.hidden_inputs_features import CosineMatcher
from reference_impl.distillation.language_model import combined_loss, distill_lm, reverse_kl

seeds = st.integers(0, 2**31)


def toy(seed: int, width: int, layers: int) -> nn.Module:
    """A GPT-2 small enough to train in a test, with dropout."""
    sizes = {"n_embd": width, "n_layer": layers, "n_head": 2, "vocab_size": 20, "n_positions": 8}
    return zoo.build("gpt2", seed=seed, resid_pdrop=0.2, **sizes)


@given(seeds, st.floats(0.5, 5), st.floats(0, 1), st.floats(0, 3))
def test_the_total_is_the_weighted_sum_and_padding_is_out(
    seed: int, temperature: float, alpha: float, weight: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, 3, 6, 9, generator=generator, dtype=torch.float64)
    tokens = torch.randint(9, (3, 6), generator=generator)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]])
    settings = {"temperature": temperature, "alpha": alpha, "hidden_weight": weight}
    parts = combined_loss(student, teacher, tokens, mask, torch.tensor(0.3), **settings)
    wanted = (1 - alpha) * parts["text"] + alpha * parts["kd"] + weight * parts["hidden"]
    torch.testing.assert_close(parts["total"], wanted)
    changed = torch.where(mask.bool(), tokens, (tokens + 1) % 9)
    again = combined_loss(student, teacher, changed, mask, torch.tensor(0.3), **settings)
    torch.testing.assert_close(again["text"], parts["text"])
    assert parts["kd"].item() >= 0
    same = combined_loss(student, student, tokens, mask, torch.tensor(0.3), **settings)
    assert abs(same["kd"].item()) < 1e-10


@given(seeds)
def test_the_reverse_divergence_is_the_forward_one_with_the_models_swapped(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    own, goal = torch.randn(2, 2, 5, 7, generator=generator, dtype=torch.float64)
    counted = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 1, 0, 0]])
    chosen = counted.bool()
    forward = nn.functional.kl_div(
        goal[chosen].log_softmax(-1), own[chosen].log_softmax(-1), log_target=True, reduction="batchmean"
    )
    torch.testing.assert_close(reverse_kl(own, goal, counted), forward)
    assert abs(reverse_kl(own, own + 4, counted).item()) < 1e-10


def test_a_student_comes_near_and_the_teacher_stays() -> None:
    student, teacher = toy(0, 8, 1), toy(1, 12, 2)
    teacher.train()
    matcher, before = CosineMatcher(8, 12, [(1, 2)]), copy.deepcopy(teacher.state_dict())
    start = copy.deepcopy(matcher.state_dict())
    rows = {"input_ids": torch.randint(20, (32, 8), generator=torch.Generator().manual_seed(1))}
    settings = {"temperature": 1.0, "alpha": 1.0, "hidden_weight": 1.0, "steps": 40, "batch": 16}
    history = distill_lm(student, teacher, matcher, rows, learning_rate=0.02, **settings)
    assert sorted(history) == ["hidden", "kd", "text", "total"] and len(history["kd"]) == 40
    assert history["kd"][-1] < 0.9 * history["kd"][0]
    assert history["hidden"][-1] < history["hidden"][0]
    assert not teacher.training and not student.training
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert any(not torch.equal(value, start[key]) for key, value in matcher.state_dict().items())
