"""Rows measured on the course's own models, the `tiny` profile."""

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from heldout import fashion, languages, prose
from labkit import data, evaluation, training, zoo
from reference_impl.distillation.capstone import compress
from reference_impl.distillation.capstone_points import rebuilt
from reference_impl.distillation.student_init import init_from_teacher
from reference_impl.pruning.calibration.structured import classifier, shrunk
from reference_impl.quantization.language_model import by_gptq
from reference_impl.results.onnx_files import in_batches, inputs_of, write_float, write_int4, write_int8
from reference_impl.results.row import Row, Spread, faster, shares, weight_only_ratio

Rows = dict[str, Tensor]
SEEDS = range(3)
LLAMA_GROUP = 128


def bert_file(bits: int) -> Row:
    """BERT as an ONNX file with weights of 8 or 4 bits, beside the float32 file."""
    network = zoo.load("bert", attention="eager").eval()
    train, test = data.tensors(data.languages()["train"], limit=64), data.tensors(languages())
    batches = in_batches(inputs_of(train))
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "float.onnx"), Path(folder, "small.onnx")
        write_float(network, batches[0], source)
        if bits == 8:
            write_int8(source, target, batches)
        else:
            write_int4(source, target)
        ratio = source.stat().st_size / target.stat().st_size
        before, after = (evaluation.onnx_entry(path).model for path in (source, target))
    batch = inputs_of(test, 8)
    return Row(
        f"INT{bits} quantization",
        "BERT, ONNX file",
        "accuracy",
        ratio,
        faster(lambda: before(batch), lambda: after(batch)),
        shares(before, after, test),
        "thirds of the test sentences",
        "a file of 2.3 MB: headers and float32 scales weigh",
    )


def llama_weights() -> Row:
    """Llama's linear layers at four bits by GPTQ, stored with their scales; everything else float16."""
    network = zoo.load("llama")
    train, test = data.tensors(data.prose()["train"], limit=32), data.tensors(prose())
    batches = [{"input_ids": train["input_ids"][start : start + 8]} for start in range(0, 32, 8)]
    small = by_gptq(network, batches, 4, LLAMA_GROUP)
    return Row(
        "INT4 quantization",
        "Llama, weights only, GPTQ",
        "inverse perplexity",
        weight_only_ratio(network, LLAMA_GROUP),
        None,
        shares(network, small, test),
        "thirds of the test text",
        "PyTorch has no 4-bit product on a CPU, so nothing is timed",
    )


def vit_structure() -> Row:
    """ViT with four layers, 8 heads in all of them and 128 channels, 300 steps of training."""
    network, train, test, dense = classifier()
    kept = []
    for seed in SEEDS:
        small = shrunk(torch.Generator().manual_seed(seed), 4, 8, 128)
        training.fit(small, train, steps=300, learning_rate=2e-3, seed=seed)
        kept.append(evaluation.quality(small, test)[1] / dense)
    batch = inputs_of(test, 64)
    return Row(
        "structured pruning",
        "ViT",
        "accuracy",
        evaluation.parameter_count(network) / evaluation.parameter_count(small),
        faster(lambda: network(**batch), lambda: small(**batch)),
        Spread.of(kept),
        "three seeds",
    )


def bert_student() -> Row:
    """A student of one of BERT's layers with a third of its inner units, 60 steps on the teacher's answers."""
    teacher = zoo.load("bert")
    train, test = data.tensors(data.languages()["train"], limit=4000), data.tensors(languages())
    inputs = inputs_of(train, 4000)
    rows = {**inputs, "labels": evaluation.logits(teacher, inputs).argmax(dim=-1)}
    goal, kept = evaluation.quality(teacher, test)[1], []
    for seed in SEEDS:
        student = zoo.build("bert", seed=seed, num_hidden_layers=1, intermediate_size=128)
        student.load_state_dict(init_from_teacher(teacher.state_dict(), [seed], 128))
        training.fit(student, rows, steps=60, learning_rate=1e-3, seed=seed)
        kept.append(evaluation.quality(student, test)[1] / goal)
    batch = inputs_of(test, 32)
    return Row(
        "distillation",
        "BERT to one layer",
        "accuracy",
        evaluation.parameter_count(teacher) / evaluation.parameter_count(student),
        faster(lambda: teacher.eval()(**batch), lambda: student(**batch)),
        Spread.of(kept),
        "three seeds, each another layer",
    )


def vit_combined() -> Row:
    """The capstone's reference: two layers of the ViT, distilled, its matrices at four bits."""
    network, _, test, dense = classifier()
    kept = []
    for seed in SEEDS:
        small, size = rebuilt(*compress(seed))
        kept.append(evaluation.quality(small, data.tensors(fashion()))[1] / dense)
    batch = inputs_of(test, 64)
    return Row(
        "distillation",
        "ViT, pruned, distilled and at 4 bits",
        "accuracy",
        evaluation.stored_bytes(network) / size,
        faster(lambda: network(**batch), lambda: small(**batch)),
        Spread.of(kept),
        "three seeds, pictures as they are",
        "trained for moved pictures, of which it keeps 97% (lab 3.12); timed with its weights in float32",
    )


ROWS = {
    "int8-bert": lambda: bert_file(8),
    "int4-bert": lambda: bert_file(4),
    "int4-llama": llama_weights,
    "pruned-vit": vit_structure,
    "distilled-bert": bert_student,
    "combined-vit": vit_combined,
}
