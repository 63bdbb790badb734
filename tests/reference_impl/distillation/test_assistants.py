"""Chains of assistants."""

from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from reference_impl.distillation.assistants import assistant_sizes, distill_chain, token_divergence
from reference_impl.distillation.hidden_inputs_progressive import TokenNet, token_state


@given(st.integers(200, 10_000), st.integers(1, 100), st.integers(0, 3), st.integers(1, 4))
def test_sizes_fall_in_equal_ratios(teacher: int, student: int, assistants: int, multiple: int) -> None:
    assume(teacher > 40 * student * (multiple + 1) or assistants == 0)
    assume(student >= multiple)
    sizes = assistant_sizes(teacher, student, assistants, multiple=multiple)
    assert sizes[0] == teacher and sizes[-1] == student and len(sizes) == assistants + 2
    assert sizes == sorted(set(sizes), reverse=True)
    assert all(size % multiple == 0 for size in sizes[1:-1])
    factor = (student / teacher) ** (1 / (assistants + 1))
    for before, after in pairwise(sizes[:-1]):
        assert abs(after - before * factor) <= multiple


@pytest.mark.parametrize(("teacher", "student", "assistants"), [(4, 3, 1), (5, 5, 0), (3, 8, 2)])
def test_sizes_that_do_not_fall_are_refused(teacher: int, student: int, assistants: int) -> None:
    with pytest.raises(ValueError, match="decrease"):
        assistant_sizes(teacher, student, assistants)


@given(st.integers(0, 2**31), st.floats(0.5, 4), st.integers(1, 4), st.integers(1, 5))
def test_the_gradient_of_the_divergence(seed: int, temperature: float, rows: int, tokens: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(2, rows, tokens, 6, generator=generator, dtype=torch.float64)
    student.requires_grad_()
    value = token_divergence(student, teacher, temperature=temperature)
    assert value >= -1e-12
    value.backward()
    own, wanted = ((part / temperature).softmax(-1) for part in (student.detach(), teacher))
    torch.testing.assert_close(student.grad, temperature * (own - wanted) / (rows * tokens))


def test_equal_networks_do_not_diverge() -> None:
    logits = torch.randn(2, 3, 5)
    torch.testing.assert_close(token_divergence(logits, logits + 2.0), torch.tensor(0.0), atol=1e-6, rtol=0)


def chain(seed: int = 0) -> list[TokenNet]:
    generator = torch.Generator().manual_seed(seed)
    return [TokenNet(token_state(width, generator)).train() for width in (12, 8, 5)]


ROWS = {"input_ids": torch.randint(11, (40, 6), generator=torch.Generator().manual_seed(2))}


def test_the_teacher_stays_as_it_was() -> None:
    networks = chain()
    before = {key: value.clone() for key, value in networks[0].state_dict().items()}
    histories = distill_chain(networks, ROWS, [3, 2], [0.02, 0.02], batch=8)
    assert [len(history) for history in histories] == [3, 2]
    assert all(torch.equal(value, before[key]) for key, value in networks[0].state_dict().items())
    assert not any(network.training for network in networks)


def test_the_last_stage_depends_on_the_assistant_alone() -> None:
    networks = chain()
    distill_chain(networks, ROWS, [5, 4], [0.02, 0.03], batch=8, seed=1)
    again = chain()
    again[1].load_state_dict(networks[1].state_dict())
    distill_chain(again[1:], ROWS, [4], [0.03], batch=8, seed=2)
    for key, value in networks[2].state_dict().items():
        torch.testing.assert_close(again[2].state_dict()[key], value)


def test_a_student_comes_near_its_teacher() -> None:
    networks = chain()
    (history,) = distill_chain(networks[:2], ROWS, [120], [0.05], batch=20)
    assert sum(history[-10:]) < 0.6 * sum(history[:10])
