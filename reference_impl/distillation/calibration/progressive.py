"""The measured checks of Lab 3.11: layers copied and trained, and a Llama of half the size taught by its teacher."""

from functools import cache

from torch import Tensor, nn

from heldout import prose
from labkit import data, evaluation, training, zoo
from reference_impl.distillation.half_size import cut_model, distill_to_half
from reference_impl.distillation.layer_reduction import progressive_distill
from reference_impl.measured import Measured, entry

TOKENS, STEPS, JUDGED = 64, 40, 256


@cache
def ground() -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor], float]:
    """The teacher, training blocks, test blocks, and the teacher's perplexity on them."""
    teacher = zoo.load("llama")
    train = data.tensors(data.prose()["train"], length=TOKENS)
    test = data.tensors(prose(), length=TOKENS, limit=JUDGED)
    return teacher, train, test, evaluation.quality(teacher, test)[1]


def shallow(depth: int) -> nn.Module:
    """An untrained Llama with so many layers."""
    return zoo.build("llama", num_hidden_layers=depth)


def half_of_the_layers(seed: int) -> Measured:
    """Two of four layers in two stages, against random weights with the same loss, and against one step."""
    teacher, train, test, goal = ground()
    staged = progressive_distill(teacher, shallow, [[0, 1, 2], [0, 2]], train, [10, 30], seed=seed)[-1]
    direct = progressive_distill(teacher, shallow, [[0, 2]], train, [STEPS], seed=seed)[-1]
    random = zoo.build("llama", seed=seed, num_hidden_layers=2)
    distill_to_half(teacher, random, train, steps=STEPS, alpha=1.0, seed=seed)
    kept = [goal / evaluation.quality(model, test)[1] for model in (staged, direct, random)]
    label = "share of the teacher's quality that half of its layers keep"
    return {
        label: entry(kept[0], kept[2], 0.65),
        f"{label}, gain of two stages over one": entry(kept[0] - kept[1], 0.0, 0.02),
    }


def half_llama(seed: int) -> Measured:
    """The same cut, taught by the teacher and by the text."""
    teacher, train, test, _ = ground()
    taught, control = (cut_model(teacher, [0, 2], 320) for _ in range(2))
    distill_to_half(teacher, taught, train, steps=STEPS, alpha=1.0, seed=seed)
    training.fit(control, train, steps=STEPS, learning_rate=2e-3, batch=16, seed=seed)
    found = [evaluation.quality(model, test)[1] for model in (taught, control)]
    label = "perplexity over that of the same cut trained on the text"
    return {label: entry(found[0] / found[1], 1.0, 0.97, "at_most")}


def progressive_distillation(seed: int) -> Measured:
    """Every measured check of the lab under one seed."""
    return half_of_the_layers(seed) | half_llama(seed)
