"""Honest capstone hand-ins are rebuilt and measured; hostile ones are refused with the reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from labkit.capstone.artifact import Artifact, ArtifactError, read_artifact
from labkit.capstone.decoder import rebuild
from labkit.capstone.score import transformed
from safetensors.torch import load_file, save, save_file

from autograder.capstone.measure import Examination, secret_seed
from labkit import data, evaluation, zoo
from tests.autograder.capstone.encoder import CONFIG, pack, write

HEAD = "classifier.weight"


@pytest.fixture(scope="module")
def examination() -> Examination:
    return Examination(secret_seed("a secret", "a term"))


@pytest.fixture
def handin(tmp_path: Path) -> Path:
    write(tmp_path, bits=8)
    return tmp_path


def test_eight_bits_keep_the_accuracy(handin: Path, examination: Examination) -> None:
    result = examination.measure(handin)
    assert result.size == (handin / "submission.safetensors").stat().st_size
    assert result.kept > 0.98 and 3.3 < result.ratio < 4
    assert result.score == pytest.approx(result.kept * result.ratio)


def test_half_precision_is_the_network_itself(tmp_path: Path) -> None:
    write(tmp_path)
    rows = {"pixel_values": data.tensors(data.fashion()["validation"], limit=20)["pixel_values"]}
    network = rebuild(read_artifact(tmp_path))
    torch.testing.assert_close(
        evaluation.logits(network, rows), evaluation.logits(zoo.load("vit"), rows), atol=0.05, rtol=0.05
    )


def test_a_sparse_network_is_zero_where_its_bitmap_is(tmp_path: Path, examination: Examination) -> None:
    write(tmp_path, share=0.3)
    weight = rebuild(read_artifact(tmp_path)).state_dict()["vit.layers.0.mlp.fc1.weight"]
    assert 0.29 < float((weight == 0).float().mean()) < 0.31
    assert examination.measure(tmp_path).kept > 0.9


def test_too_much_compression_has_no_score(tmp_path: Path, examination: Examination) -> None:
    write(tmp_path, bits=2)
    result = examination.measure(tmp_path)
    assert result.kept < 0.9 and result.score == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 8), st.sampled_from(["one", "rows", "groups"]), st.booleans(), st.integers(0, 2**31))
def test_integers_decode_to_scale_times_code_less_zero(bits: int, kind: str, zeros: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    config = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 4, "num_attention_heads": 2}
    state = zoo.build("vit", **config).state_dict()
    codes = torch.randint(2**bits, (10, 8), generator=generator)
    shape = {"one": (1,), "rows": (10,), "groups": (10, 4)}[kind]
    scale = torch.rand(shape, generator=generator)
    zero = torch.randint(2**bits, shape, generator=generator).to(torch.uint8)
    entries: dict[str, Any] = {name: {"encoding": "dense", "data": name} for name in state}
    entries[HEAD] = {"encoding": "integer", "bits": bits, "data": "codes", "scale": "scale"}
    stored = {name: value for name, value in state.items() if name != HEAD}
    stored |= {"codes": pack(codes, bits), "scale": scale}
    if zeros:
        entries[HEAD]["zero_point"], stored["zero"] = "zero", zero
    found = rebuild(Artifact({"config": config, "tensors": entries}, stored, 0)).state_dict()[HEAD]
    middle = zero.float() if zeros else torch.full(shape, float(2 ** (bits - 1)))
    if kind == "groups":
        scale, middle = (part.repeat_interleave(2, dim=1) for part in (scale, middle))
    elif kind == "rows":
        scale, middle = scale[:, None], middle[:, None]
    torch.testing.assert_close(found, scale * (codes.float() - middle))


def test_pictures_are_moved_by_a_secret() -> None:
    rows = data.tensors(data.fashion()["validation"], limit=50)
    one, same, other = (transformed(rows, secret_seed(secret, "")) for secret in ("a", "a", "b"))
    assert torch.equal(one["pixel_values"], same["pixel_values"])
    assert not torch.equal(one["pixel_values"], other["pixel_values"])
    assert one["pixel_values"].shape == rows["pixel_values"].shape and torch.equal(
        one["labels"], rows["labels"]
    )
    assert secret_seed("a", "spring") != secret_seed("a", "autumn")


Change = Callable[[Path, dict[str, Any], dict[str, torch.Tensor]], None]


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    """Change stored tensors."""

    def apply(folder: Path, manifest: dict[str, Any], stored: dict[str, torch.Tensor]) -> None:
        change(stored)
        save_file(stored, folder / "submission.safetensors")

    return apply


def manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    """Change the manifest."""

    def apply(folder: Path, given: dict[str, Any], stored: dict[str, torch.Tensor]) -> None:
        change(given)
        (folder / "manifest.json").write_text(json.dumps(given), "utf-8")

    return apply


def text(content: str | bytes, name: str = "manifest.json") -> Change:
    """Another content of a file."""
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder, _manifest, _stored: (folder / name).write_bytes(raw) and None


def metadata(folder: Path, _manifest: dict[str, Any], stored: dict[str, torch.Tensor]) -> None:
    (folder / "submission.safetensors").write_bytes(save(stored, metadata={"weights": "aGlkZGVu" * 100}))


def link(folder: Path, _manifest: dict[str, Any], _stored: dict[str, torch.Tensor]) -> None:
    (folder / "manifest.json").rename(folder / "elsewhere.json")
    (folder / "manifest.json").symlink_to(folder / "elsewhere.json")


def holes(folder: Path, _manifest: dict[str, Any], stored: dict[str, torch.Tensor]) -> None:
    (folder / "submission.safetensors").write_bytes(save(stored) + b"weights behind the last tensor")


def nan(stored: dict[str, torch.Tensor]) -> None:
    stored["classifier.bias"][0] = float("nan")


def set_to(*path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(given: dict[str, Any]) -> None:
        for part in path[:-1]:
            given = given[part]
        given[path[-1]] = value

    return change


HOSTILE: dict[str, tuple[Change, str]] = {
    "no file": (lambda folder, *_: (folder / "manifest.json").unlink(), "manifest.json is missing"),
    "a link": (link, "not a plain file"),
    "not JSON": (text("{'format': 1}"), "is not JSON"),
    "not UTF-8": (text(b"\xff\xfe{}"), "is not JSON"),
    "deep nesting": (text("[" * 60_000), "is not JSON"),
    "long number": (text('{"format": ' + "9" * 5_000 + "}"), "is not JSON"),
    "a key twice": (text('{"format": 1, "format": 2}'), "a key occurs twice"),
    "a huge manifest": (text(" " * 200_000), "more than 131,072 bytes"),
    "a huge file": (text(b"\0" * 1_400_000, "submission.safetensors"), "more than 1,300,000 bytes"),
    "a pickle": (text(b"\x80\x04\x95" + b"." * 50, "submission.safetensors"), "can not be read"),
    "a lying header": (
        text((2**62).to_bytes(8, "little") + b"{}", "submission.safetensors"),
        "can not be read",
    ),
    "an empty file": (text(b"", "submission.safetensors"), "can not be read"),
    "bytes behind the end": (holes, "can not be read"),
    "metadata": (metadata, "has metadata"),
    "an unknown key": (manifest(set_to("note", value="weights")), "'note' was unexpected"),
    "an unknown key in a tensor": (manifest(set_to("tensors", HEAD, "extra", value=1)), "$.tensors"),
    "another model": (manifest(set_to("model", value="bert")), "'vit' was expected"),
    "a larger network": (manifest(set_to("config", "num_hidden_layers", value=60)), "maximum of 6"),
    "heads that do not fit": (manifest(set_to("config", "num_attention_heads", value=5)), "a multiple of"),
    "a nickname with markup": (manifest(set_to("nickname", value="<script>")), "does not match"),
    "a parameter left out": (
        manifest(lambda m: m["tensors"].pop(HEAD)),
        "not in the manifest 'classifier.weight'",
    ),
    "a parameter too many": (
        manifest(set_to("tensors", "extra.weight", value={"encoding": "dense", "data": "classifier.bias"})),
        "unknown 'extra.weight'",
    ),
    "a smaller config": (manifest(set_to("config", "intermediate_size", value=128)), "has the shape"),
    "a hidden tensor": (tensors(lambda t: t.update(hidden=torch.zeros(8))), "not in the manifest 'hidden'"),
    "a tensor used twice": (
        manifest(set_to("tensors", "vit.layernorm.bias", "data", value="vit.layernorm.weight")),
        "used more than once",
    ),
    "a tensor that is not there": (
        manifest(set_to("tensors", HEAD, "data", value="none")),
        "no stored tensor 'none'",
    ),
    "NaN": (tensors(nan), "classifier.bias: 'classifier.bias' holds NaN"),
    "infinite scale": (tensors(lambda t: t[f"{HEAD}.s"].fill_(float("inf"))), "holds NaN or infinity"),
    "doubles": (
        tensors(lambda t: t.update({"classifier.bias": t["classifier.bias"].double()})),
        "torch.float64",
    ),
    "integers as floats": (
        tensors(lambda t: t.update({f"{HEAD}.q": t[f"{HEAD}.q"].float()})),
        "torch.float32",
    ),
    "fewer bits than said": (
        manifest(set_to("tensors", HEAD, "bits", value=4)),
        "640 codes of 4 bits take (320,)",
    ),
    "nine bits": (manifest(set_to("tensors", HEAD, "bits", value=9)), "$.tensors"),
    "a scale for half the rows": (
        tensors(lambda t: t.update({f"{HEAD}.s": t[f"{HEAD}.s"][:5]})),
        "scale has the shape",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_handins_are_refused_with_the_reason(name: str, handin: Path) -> None:
    change, reason = HOSTILE[name]
    given = json.loads((handin / "manifest.json").read_text("utf-8"))
    change(handin, given, load_file(handin / "submission.safetensors"))
    with pytest.raises(ArtifactError) as caught:
        rebuild(read_artifact(handin))
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 600


def test_bits_behind_the_last_code_are_refused(handin: Path) -> None:
    state = zoo.build("vit", **CONFIG).state_dict()
    entries: dict[str, Any] = {name: {"encoding": "dense", "data": name} for name in state}
    entries["classifier.bias"] = {"encoding": "integer", "bits": 3, "data": "codes", "scale": "scale"}
    stored = {name: value for name, value in state.items() if name != "classifier.bias"}
    packed = pack(torch.zeros(10), 3)
    packed[-1] |= 128
    stored |= {"codes": packed, "scale": torch.ones(1)}
    with pytest.raises(ArtifactError, match="bits after the last code"):
        rebuild(Artifact({"config": CONFIG, "tensors": entries}, stored, 0))


def test_answers_that_overflow_are_refused(tmp_path: Path, examination: Examination) -> None:
    network = zoo.load("vit")
    with torch.no_grad():
        for layer in network.vit.layers:
            layer.mlp.fc2.weight.mul_(6e4 / float(layer.mlp.fc2.weight.abs().max()))
            layer.mlp.fc1.weight.mul_(6e4 / float(layer.mlp.fc1.weight.abs().max()))
        network.vit.layernorm.weight.fill_(6e4)
        network.classifier.weight.mul_(6e4 / float(network.classifier.weight.abs().max()))
    write(tmp_path, network)
    result = examination.measure(tmp_path)
    assert result.score == 0
