"""The joint search is never worse than a search along one axis, at the evaluations that were allowed."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl.pruning.hidden_inputs_joint import joint_case, stuck_case
from reference_impl.pruning.joint_search import joint_objective, joint_search

WHOLE = {"heads": [4], "ffn": [64]}


@given(accuracy=st.floats(0, 1), kept=st.floats(0, 100), budget=st.floats(0.5, 50), penalty=st.floats(0, 5))
def test_only_what_is_above_the_budget_costs(
    accuracy: float, kept: float, budget: float, penalty: float
) -> None:
    value = joint_objective(accuracy, kept, budget, penalty)
    if kept <= budget:
        assert value == accuracy
    else:
        assert value == pytest.approx(accuracy - penalty * (kept - budget) / budget)


def subnet(number: int) -> dict[str, list[int]]:
    return {"heads": [number], "ffn": [number]}


@given(values=st.lists(st.integers(0, 9), min_size=40, max_size=40), more=st.integers(0, 12))
@settings(max_examples=60, deadline=None)
def test_the_joint_winner_is_at_least_as_good_and_calls_are_counted(values: list[int], more: int) -> None:
    asked: list[tuple[dict[str, list[int]], float]] = []

    def evaluate(structure: dict[str, list[int]], sparsity: float) -> float:
        asked.append((structure, sparsity))
        return values[(7 * structure["heads"][0] + round(10 * sparsity)) % 40]

    steps = iter(range(10_000))

    def propose(structure: dict[str, list[int]], sparsity: float) -> tuple[dict[str, list[int]], float]:
        step = next(steps)
        return subnet(step % 5), (step % 3) / 10

    structures, sparsities = [subnet(1), subnet(2), subnet(1)], [0.0, 0.5, 0.9]
    found = joint_search(evaluate, structures, sparsities, WHOLE, propose, evaluations=5 + more)
    assert len(asked) == found["calls"] <= 5 + more
    assert all(pair not in asked[:place] for place, pair in enumerate(asked))
    assert asked[:5] == [(subnet(1), 0.0), (subnet(2), 0.0), (WHOLE, 0.0), (WHOLE, 0.5), (WHOLE, 0.9)]
    assert found["scores"][2] >= max(found["scores"][:2])
    assert found["structure"][1] == 0.0 and found["sparsity"][0] == WHOLE
    assert found["joint"] in asked


def test_the_first_of_equals_wins_and_proposals_come_from_the_best() -> None:
    seen = []

    def propose(structure: dict[str, list[int]], sparsity: float) -> tuple[dict[str, list[int]], float]:
        seen.append((structure, sparsity))
        return subnet(10 + len(seen)), 0.1

    scores = {1: 0.5, 2: 0.5, 4: 0.2, 11: 0.9, 12: 0.1}
    found = joint_search(
        lambda structure, sparsity: scores[structure["heads"][0]],
        [subnet(1), subnet(2)], [0.5], WHOLE, propose, evaluations=5,
    )  # fmt: skip
    assert found["structure"] == (subnet(1), 0.0) and found["joint"] == (subnet(11), 0.1)
    assert seen == [(subnet(1), 0.0), (subnet(11), 0.1)] and found["calls"] == 5


def test_too_few_evaluations_and_known_proposals() -> None:
    arguments = (lambda *_: 1.0, [subnet(1), subnet(2)], [0.5], WHOLE, lambda *pair: pair)
    with pytest.raises(ValueError, match="too few"):
        joint_search(*arguments, evaluations=2)
    assert joint_search(*arguments, evaluations=9)["calls"] == 3


@given(
    seed=st.integers(0, 2**31), more=st.integers(0, 9), axis=st.sampled_from(["", "structure", "sparsity"])
)
@settings(max_examples=40, deadline=None)
def test_hidden_searches_use_all_evaluations_and_have_the_winner_that_was_asked_for(
    seed: int, more: int, axis: str
) -> None:
    case = joint_case(torch.Generator().manual_seed(seed), more=more, axis=axis)
    found = case.run(joint_search)
    assert found["calls"] == len(found["asked"]) == case.evaluations
    assert len(set(case.table.values())) == len(case.table)
    if axis:
        assert found["winners"][2] == found["winners"][["structure", "sparsity"].index(axis)]
    elif more > 1:  # the best pair is the second proposal
        assert found["scores"][2] > max(found["scores"][:2])


@given(seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_hidden_search_in_which_hardly_any_proposal_is_new(seed: int) -> None:
    found = stuck_case(torch.Generator().manual_seed(seed)).run(joint_search)
    assert len(found["near"]) == 162 and found["calls"] == 4
