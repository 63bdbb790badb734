"""Mutation and crossover stay in the space; the search keeps its budget and counts its evaluations."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_impl.pruning.evolution import crossover, evolve, mutate
from reference_impl.pruning.search_space import decode, encode, random_subnet

SPACE: dict[str, Any] = {"layers": 4, "heads": [1, 2, 4], "ffn": [16, 32, 64, 128]}
Subnet = dict[str, list[int]]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(seed=st.integers(0, 10_000), probability=st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_mutant_is_of_the_space_and_the_parent_is_left_alone(seed: int, probability: float) -> None:
    generator = seeded(seed)
    parent = random_subnet(SPACE, generator)
    before = copy.deepcopy(parent)
    child = mutate(parent, SPACE, probability, generator)
    assert parent == before and decode(encode(child, SPACE), SPACE) == child
    assert abs(len(child["heads"]) - len(parent["heads"])) <= 1


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_probability_zero_changes_nothing_and_one_everything(seed: int) -> None:
    generator = seeded(seed)
    parent = random_subnet(SPACE, generator)
    assert mutate(parent, SPACE, 0.0, generator) == parent
    child = mutate(parent, SPACE, 1.0, generator)
    assert abs(len(child["heads"]) - len(parent["heads"])) == 1
    for part in ("heads", "ffn"):
        assert all(a != b for a, b in zip(child[part], parent[part], strict=False))


def test_values_depths_and_changes_have_their_shares() -> None:
    generator = seeded(1)
    parent = {"heads": [2, 2], "ffn": [16, 64]}
    children = [mutate(parent, SPACE, 0.3, generator) for _ in range(6_000)]
    first = [child["heads"][0] for child in children]
    assert first.count(2) / 6_000 == pytest.approx(0.7, abs=0.03)
    assert first.count(1) / 6_000 == pytest.approx(0.15, abs=0.025)
    depths = [len(child["heads"]) for child in children]
    assert depths.count(1) / 6_000 == pytest.approx(0.15, abs=0.025)
    assert depths.count(3) / 6_000 == pytest.approx(0.15, abs=0.025)
    new = [child["ffn"][2] for child in children if len(child["ffn"]) == 3]
    assert set(new) == {16, 32, 64, 128}


def test_a_space_of_one_subnet_has_one_mutant() -> None:
    space = {"layers": 1, "heads": [2], "ffn": [8]}
    only = {"heads": [2], "ffn": [8]}
    assert mutate(only, space, 1.0, seeded(0)) == only


@given(seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_every_entry_of_a_child_comes_from_a_parent(seed: int) -> None:
    generator = seeded(seed)
    one, other = random_subnet(SPACE, generator), random_subnet(SPACE, generator)
    before = copy.deepcopy([one, other])
    child = crossover(one, other, generator)
    assert [one, other] == before and crossover(one, one, generator) == one
    assert len(child["heads"]) in (len(one["heads"]), len(other["heads"]))
    for part in ("heads", "ffn"):
        for place, value in enumerate(child[part]):
            assert value in [parent[part][place] for parent in (one, other) if place < len(parent[part])]


def test_parents_are_equal_and_places_independent() -> None:
    generator = seeded(2)
    one, other = {"heads": [1, 1], "ffn": [16, 16]}, {"heads": [4, 4, 4], "ffn": [128, 128, 128]}
    children = [crossover(one, other, generator) for _ in range(4_000)]
    assert sum(len(child["heads"]) == 2 for child in children) / 4_000 == pytest.approx(0.5, abs=0.04)
    pairs = [(child["heads"][0], child["ffn"][0]) for child in children]
    for pair in ((1, 16), (1, 128), (4, 16), (4, 128)):
        assert pairs.count(pair) / 4_000 == pytest.approx(0.25, abs=0.03)


def cost(subnet: Subnet) -> float:
    return float(sum(subnet["heads"]) * 10 + sum(subnet["ffn"]))


@given(seed=st.integers(0, 1_000), budget=st.integers(60, 400))
@settings(max_examples=25, deadline=None)
def test_the_search_keeps_to_its_budget_and_counts(seed: int, budget: int) -> None:
    generator = seeded(seed)
    scored: list[Subnet] = []

    def score(subnet: Subnet) -> float:
        scored.append(subnet)
        return -abs(cost(subnet) - 333)

    found = evolve(
        score,
        cost,
        lambda: random_subnet(SPACE, generator),
        lambda a, b: mutate(crossover(a, b, generator), SPACE, 0.2, generator),
        budget=budget,
        population=6,
        parents=3,
        evaluations=20,
        generator=generator,
    )
    assert found["subnets"] == scored and len(scored) <= 20
    assert all(cost(subnet) <= budget for subnet in scored)
    assert all(subnet not in scored[:place] for place, subnet in enumerate(scored))
    assert found["scores"] == [-abs(cost(subnet) - 333) for subnet in scored]
    assert found["best"] == scored[found["scores"].index(max(found["scores"]))]


def numbered(number: int) -> Subnet:
    return {"heads": [number], "ffn": [1]}


def test_children_come_from_the_best_and_the_first_of_equals() -> None:
    draws, pairs = iter(range(1, 50)), []

    def breed(one: Subnet, other: Subnet) -> Subnet:
        pairs.append({one["heads"][0], other["heads"][0]})
        return numbered(100 + len(pairs))

    values = {1: 5.0, 2: 1.0, 3: 5.0, 4: 5.0}
    evolve(
        lambda subnet: values.get(subnet["heads"][0], 0.0), lambda subnet: 1.0,
        lambda: numbered(next(draws)), breed,
        budget=1.0, population=4, parents=2, evaluations=30, generator=seeded(0),
    )  # fmt: skip
    assert pairs == [{1, 3}] * 26


def test_a_search_that_finds_nothing_new_ends() -> None:
    found = evolve(
        lambda subnet: 1.0, lambda subnet: 1.0, lambda: numbered(1), lambda one, other: one,
        budget=1.0, population=3, parents=2, evaluations=9, generator=seeded(0),
    )  # fmt: skip
    assert len(found["subnets"]) == 1
    with pytest.raises(ValueError, match="cost more than"):
        evolve(
            lambda subnet: 1.0, lambda subnet: 2.0, lambda: numbered(1), lambda one, other: one,
            budget=1.0, population=3, parents=2, evaluations=9, generator=seeded(0),
        )  # fmt: skip
