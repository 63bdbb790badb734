"""KL divergence of predictions, one layer at a time, and agreement of orders."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

from reference_impl.quantization.sensitivity import kl_divergence, layer_sensitivity, spearman

from .strategies import normal


@given(st.integers(0, 300), st.floats(0.0, 20.0))
def test_divergence_is_torchs_and_not_negative(seed: int, distance: float) -> None:
    """Is it torch's kl_div, and at least 0?"""
    p = 3 * normal(4, 3, 7, seed=seed)
    q = p + distance * normal(4, 3, 7, seed=seed + 1)
    value = kl_divergence(p, q)
    log_p, log_q = torch.log_softmax(p.double(), -1), torch.log_softmax(q.double(), -1)
    expected = nn.functional.kl_div(log_q, log_p, log_target=True, reduction="sum") / 12
    assert value == pytest.approx(float(expected), rel=1e-9, abs=1e-12)
    assert value >= -1e-12
    assert kl_divergence(p, p + 5.0) == pytest.approx(0.0, abs=1e-9)


def test_divergence_of_far_logits_is_finite() -> None:
    """Does a probability of zero in float32 give the right number?"""
    far = torch.tensor([[1000.0, 0.0, 1.0]])
    assert kl_divergence(far, torch.zeros(1, 3)) == pytest.approx(1.0986123)
    assert kl_divergence(torch.zeros(1, 3), far) == pytest.approx(1999 / 3 - 1.0986123)


def test_divergence_refuses_other_shapes() -> None:
    """Is broadcasting refused?"""
    with pytest.raises(ValueError, match="shapes differ"):
        kl_divergence(torch.zeros(2, 3), torch.zeros(1, 3))


class Small(nn.Module):
    """Two linear layers with dropout between them, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(9, 5)
        self.first = nn.Linear(5, 6)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(6, 9, bias=False)
        self.register_buffer("shift", torch.ones(9))

    def forward(self, input_ids: Tensor) -> SimpleNamespace:
        hidden = torch.relu(self.first(self.embed(input_ids)))
        return SimpleNamespace(logits=self.second(self.drop(hidden)) + self.shift)


def coarse(weight: Tensor, bits: int) -> Tensor:
    return torch.round(weight * bits) / bits


@given(st.integers(0, 50), st.booleans(), st.sampled_from([None, 1, 3]))
def test_a_model_is_left_as_it_was(seed: int, training: bool, bits: int | None) -> None:
    """Are weights, buffers, modes and objects the same afterwards?"""
    torch.manual_seed(seed)
    net = Small().train(training)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    objects = dict(net.named_parameters())
    batches = [{"input_ids": torch.randint(0, 9, (rows, 4))} for rows in (1, 3)]
    values = layer_sensitivity(net, ["first", "second"], batches, bits, coarse)
    assert list(values) == ["first", "second"]
    assert all(value >= -1e-9 for value in values.values())
    if bits is None:
        assert max(values.values()) == pytest.approx(0.0, abs=1e-12)
    assert net.training is training
    assert all(value.equal(state[key]) for key, value in net.state_dict().items())
    assert all(parameter is objects[name] for name, parameter in net.named_parameters())


def test_batches_count_by_their_tokens() -> None:
    """Is the answer that of one batch that holds them all?"""
    torch.manual_seed(0)
    net = Small()
    tokens = torch.randint(0, 9, (6, 4))
    split = [{"input_ids": tokens[:1]}, {"input_ids": tokens[1:]}]
    parts = layer_sensitivity(net, ["first"], split, 1, coarse)
    whole = layer_sensitivity(net, ["first"], [{"input_ids": tokens}], 1, coarse)
    assert parts["first"] == pytest.approx(whole["first"], rel=1e-5)


def test_an_error_leaves_the_model_as_it_was() -> None:
    """Is the weight put back when quantize fails after writing on what it was given?"""
    net = Small().train()
    state = {key: value.clone() for key, value in net.state_dict().items()}

    def fails(weight: Tensor, bits: int) -> Tensor:
        weight.zero_()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        layer_sensitivity(net, ["first"], [{"input_ids": torch.zeros(1, 2, dtype=torch.long)}], 2, fails)
    assert all(value.equal(state[key]) for key, value in net.state_dict().items())
    assert net.training


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=20).filter(
        lambda pairs: len({a for a, _ in pairs}) > 1 and len({b for _, b in pairs}) > 1
    )
)
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    """With equal values among them, is it scipy's coefficient?"""
    first, second = ([float(value) for value in column] for column in zip(*pairs, strict=True))
    assert spearman(first, second) == pytest.approx(float(stats.spearmanr(first, second).statistic), abs=1e-9)


@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [3.0, 3.0])])
def test_lists_without_an_order_are_refused(first: list[float], second: list[float]) -> None:
    """Is an answer refused where there is none?"""
    with pytest.raises(ValueError, match=r"pairs|equal"):
        spearman(first, second)
