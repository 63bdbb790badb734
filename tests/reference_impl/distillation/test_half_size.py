"""A Llama of half the size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import evaluation, zoo
from reference_impl.distillation.half_size import cut_model, distill_to_half, llama_parameters, plan
from reference_impl.distillation.hidden_inputs_progressive import TokenNet, token_state
from reference_impl.distillation.layer_reduction import copy_layers

SHAPE = {
    "vocab_size": 512,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 4), st.integers(1, 40), st.sampled_from([1, 2, 4]), st.booleans())
def test_the_count_is_that_of_a_built_model(layers: int, inner: int, heads: int, tied: bool) -> None:
    shape = {
        **SHAPE,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "num_key_value_heads": heads,
        "tie_word_embeddings": tied,
    }
    assert llama_parameters(shape) == evaluation.parameter_count(zoo.build("llama", **shape))


@given(st.integers(1, 30), st.floats(1.01, 4), st.integers(1, 50))
def test_a_plan_is_the_widest_that_fits(layers: int, ratio: float, multiple: int) -> None:
    config = {**SHAPE, "num_hidden_layers": 30, "intermediate_size": 100, "vocab_size": 40}
    whole = llama_parameters(config)
    try:
        found = plan(config, layers, ratio, multiple=multiple)
    except ValueError:
        narrowest = {**config, "num_hidden_layers": layers, "intermediate_size": multiple}
        assert whole / llama_parameters(narrowest) < ratio or multiple > 100
        return
    assert whole / found["parameters"] >= ratio * (1 - 1e-12)
    wider = found["intermediate_size"] + multiple
    more = {**config, "num_hidden_layers": layers, "intermediate_size": wider}
    assert wider > 100 or whole / llama_parameters(more) < ratio


@pytest.mark.parametrize("layers", [[0, 2], [1], [0, 1, 2]])
def test_a_cut_of_layers_alone_is_a_copy_of_layers(layers: list[int]) -> None:
    teacher = zoo.build("llama", **SHAPE)
    student = cut_model(teacher, layers, 24)
    wanted = copy_layers(teacher.state_dict(), layers)
    assert all(torch.equal(value, wanted[key]) for key, value in student.state_dict().items())
    assert [block.self_attn.layer_idx for block in student.model.layers] == list(range(len(layers)))
    assert student.config.num_hidden_layers == len(layers) and teacher.config.num_hidden_layers == 3


def test_units_without_weight_can_go() -> None:
    teacher = zoo.build("llama", **SHAPE).eval()
    with torch.no_grad():
        for block in teacher.model.layers:
            block.mlp.down_proj.weight[:, [1, 5, 20]] = 0
    student = cut_model(teacher, [0, 1, 2], 21)
    rows = {"input_ids": torch.arange(2, 14).view(2, 6)}
    torch.testing.assert_close(evaluation.logits(student, rows), evaluation.logits(teacher, rows))
    assert student.lm_head.weight is student.model.embed_tokens.weight
    assert evaluation.parameter_count(student) == llama_parameters({**SHAPE, "intermediate_size": 21})


def test_a_cut_model_generates_with_its_cache() -> None:
    student = cut_model(zoo.build("llama", **SHAPE).eval(), [0, 2], 12)
    rows = torch.arange(2, 8)[None]
    with torch.no_grad():
        first = student(input_ids=rows[:, :-1], use_cache=True)
        last = student(input_ids=rows[:, -1:], past_key_values=first.past_key_values).logits[:, -1]
    torch.testing.assert_close(last, evaluation.logits(student, {"input_ids": rows})[:, -1])


def test_alpha_mixes_two_criteria() -> None:
    generator = torch.Generator().manual_seed(1)
    states = [token_state(width, generator) for width in (9, 5)]
    rows = {"input_ids": torch.randint(11, (30, 6), generator=generator)}

    def first(alpha: float) -> float:
        teacher, student = (TokenNet(state).train() for state in states)
        history = distill_to_half(teacher, student, rows, steps=2, alpha=alpha, batch=8)
        assert len(history) == 2 and not teacher.training and not student.training
        assert all(torch.equal(value, states[0][key]) for key, value in teacher.state_dict().items())
        return history[0]

    assert abs(first(0.3) - (0.3 * first(1.0) + 0.7 * first(0.0))) < 1e-5
