"""A Llama of half the size: count, plan, cut, distil (Sheared LLaMA: Xia et al. 2023, arXiv 2310.06694)."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from labkit import training


def llama_parameters(config: Mapping[str, int | bool]) -> int:
    """The number of parameters of a Llama without biases, from its configuration alone.

    Args:
        config: "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads" and "tie_word_embeddings"; other keys are ignored. A head has
            hidden_size / num_attention_heads entries. Keys and values have num_key_value_heads heads.

    Returns:
        Embedding, blocks (four attention and three feed-forward matrices, two norms of hidden_size weights), the last
        norm, and the output layer, which is the embedding and counts once if "tie_word_embeddings".
    """
    ### BEGIN SOLUTION
    width, inner = config["hidden_size"], config["intermediate_size"]
    narrow = width // config["num_attention_heads"] * config["num_key_value_heads"]
    block = 2 * width * width + 2 * width * narrow + 3 * width * inner + 2 * width
    tables = 1 if config["tie_word_embeddings"] else 2
    return tables * config["vocab_size"] * width + config["num_hidden_layers"] * block + width
    ### END SOLUTION


def plan(
    config: Mapping[str, int | bool], layers: int, ratio: float, *, multiple: int = 32
) -> dict[str, int]:
    """The widest feed-forward network that lets a Llama of so many layers be so many times smaller.

    Args:
        config: of the teacher, as of `llama_parameters`.
        layers: blocks of the student, 1 to those of the teacher.
        ratio: the teacher has at least `ratio` times as many parameters as the student, all of both counted.
        multiple: the student's intermediate size is a multiple of this, at least once and at most the teacher's.

    Returns:
        "num_hidden_layers", which is `layers`; "intermediate_size", the largest that is allowed; "parameters", the
        student's number of parameters. The student is otherwise like the teacher.

    Raises:
        ValueError: no allowed intermediate size reaches the ratio.
    """
    ### BEGIN SOLUTION
    goal = llama_parameters(config) / ratio
    for inner in range(config["intermediate_size"] // multiple * multiple, 0, -multiple):
        shape = {"num_hidden_layers": layers, "intermediate_size": inner}
        found = llama_parameters({**config, **shape})
        if found <= goal:
            return {**shape, "parameters": found}
    raise ValueError(f"{layers} layers are not {ratio} times smaller, however narrow their inner units")
    ### END SOLUTION


def cut_model(teacher: nn.Module, layers: list[int], inner: int) -> nn.Module:
    """A smaller model out of a larger one, on whatever device and in whatever type it is.

    Args:
        teacher: a `LlamaForCausalLM`; is not changed.
        layers: blocks that stay, rising; block j of the result is block `layers[j]`.
        inner: inner units of each block that stay, 1 to intermediate_size.

    Returns:
        A `LlamaForCausalLM` that shares no parameter with `teacher`, in the teacher's mode; its parameters require
        gradients. In each block the `inner` units with the largest score stay, in their old order: the score is the
        length (2-norm) of the unit's row in `mlp.gate_proj.weight` times that of its row in `mlp.up_proj.weight` times
        that of its column in `mlp.down_proj.weight`. The output layer stays tied if it was. `config` says
        num_hidden_layers and intermediate_size as they are now. `self_attn.layer_idx` of block j is j: the cache of
        generation looks keys and values up by it. The attributes `intermediate_size` of `mlp`, and `in_features` and
        `out_features` of its three matrices, say what is there.
    """
    ### BEGIN SOLUTION
    student = copy.deepcopy(teacher).requires_grad_(True)
    body = student.model
    body.layers = nn.ModuleList(body.layers[layer] for layer in layers)
    for place, block in enumerate(body.layers):
        block.self_attn.layer_idx = place
        mlp = block.mlp
        gate, up, down = (part.weight.detach() for part in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
        score = gate.norm(dim=1) * up.norm(dim=1) * down.norm(dim=0)
        kept = score.topk(inner).indices.sort().values
        for part, weight in (
            (mlp.gate_proj, gate[kept]),
            (mlp.up_proj, up[kept]),
            (mlp.down_proj, down[:, kept]),
        ):
            part.weight = nn.Parameter(weight.clone())
            part.out_features, part.in_features = weight.shape
        mlp.intermediate_size = inner
    student.config.num_hidden_layers, student.config.intermediate_size = len(layers), inner
    return student
    ### END SOLUTION


def distill_to_half(
    teacher: nn.Module,
    student: nn.Module,
    rows: Mapping[str, Tensor],
    *,
    steps: int,
    alpha: float = 0.9,
    learning_rate: float = 2e-3,
    batch: int = 16,
    seed: int = 0,
) -> list[float]:
    """Train a student in place on its teacher's answers and on the text.

    `labkit.training.fit(student, rows, steps=steps, learning_rate=learning_rate, batch=batch, seed=seed,
    criterion=...)`, where the criterion is alpha * soft + (1 - alpha) * hard. `soft` is the cross-entropy of the
    student's probabilities with the teacher's as targets, mean over all rows and tokens. `hard` is the cross-entropy
    of each next token: the logits at place t against the token at t + 1, mean over rows and all places but the last.
    The teacher answers the same batch, in eval mode and without gradient, and is left in eval mode, unchanged.

    Args:
        teacher: a model of `transformers` with `.logits`.
        student: of the same vocabulary; is changed.
        rows: as of `labkit.data.tensors`, "input_ids" (n, tokens).
        steps: optimizer steps.
        alpha: weight of the teacher, 0 to 1.
        learning_rate: of the first step.
        batch: rows a step.
        seed: of the batches.

    Returns:
        The criterion at each step.
    """
    ### BEGIN SOLUTION
    teacher.eval()

    def criterion(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
        with torch.no_grad():
            targets = teacher(**inputs).logits.softmax(-1)
        logits = model(**inputs).logits
        soft = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1))
        hard = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), inputs["input_ids"][:, 1:].flatten())
        return alpha * soft + (1 - alpha) * hard

    return training.fit(
        student,
        rows,
        steps=steps,
        learning_rate=learning_rate,
        batch=batch,
        seed=seed,
        criterion=criterion,
    )
    ### END SOLUTION
