"""What a student writes for the capstone is what the decoder of the hand-ins reads."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labkit.capstone.artifact import read_artifact
from labkit.capstone.decoder import rebuild
from safetensors.torch import save_file
from torch import Tensor

from labkit import zoo
from reference_impl.distillation.capstone import pack_codes, shrink, store_integer, store_sparse

FULL = {"num_hidden_layers": 6, "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4}


@given(st.integers(1, 8), st.lists(st.integers(0, 255), min_size=1, max_size=60))
def test_packed_codes_are_one_number_in_base_two(bits: int, codes: list[int]) -> None:
    cut = [code % 2**bits for code in codes]
    packed = pack_codes(torch.tensor(cut), bits)
    number = int.from_bytes(bytes(packed.tolist()), "little")
    assert packed.shape == (-(-len(cut) * bits // 8),)
    assert number == sum(code << (place * bits) for place, code in enumerate(cut))


def written(folder: Path, changed: dict[str, tuple[dict[str, Any], dict[str, Tensor]]]) -> dict[str, Tensor]:
    """A hand-in of the vit with some parameters stored in another way, read back by the decoder."""
    entries: dict[str, Any] = {}
    stored: dict[str, Tensor] = {}
    for name, value in zoo.load("vit").state_dict().items():
        entries[name], parts = changed.get(
            name, ({"encoding": "dense", "data": name}, {name: value.contiguous()})
        )
        stored |= parts
    save_file(stored, folder / "submission.safetensors")
    manifest = {"format": 1, "model": "vit", "config": FULL, "tensors": entries}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return rebuild(read_artifact(folder)).state_dict()


@pytest.mark.parametrize("bits", [3, 4, 8])
def test_the_decoder_reads_integers_within_half_a_step(tmp_path: Path, bits: int) -> None:
    name = "vit.layers.0.mlp.fc1.weight"
    weight = zoo.load("vit").state_dict()[name]
    entry, stored = store_integer(name, weight, bits)
    step = stored[f"{name}.scale"].float().unsqueeze(1)
    error = (written(tmp_path, {name: (entry, stored)})[name] - weight).abs()
    assert bool((error <= 0.5 * step + 1e-3 * weight.abs() + 1e-7).all())


def test_the_decoder_reads_a_sparse_matrix(tmp_path: Path) -> None:
    name = "vit.layers.2.mlp.fc2.weight"
    weight = zoo.load("vit").state_dict()[name]
    keep = weight.abs() > weight.abs().median()
    found = written(tmp_path, {name: store_sparse(name, weight, keep, 8)})[name]
    assert bool((found[~keep] == 0).all())
    torch.testing.assert_close(found[keep], weight[keep], atol=float(weight.abs().max()) / 200, rtol=0)


def test_a_row_of_zeros_stays_zero() -> None:
    entry, stored = store_integer("w", torch.zeros(2, 4), 4)
    assert entry["bits"] == 4 and stored["w.scale"].tolist() == [1.0, 1.0]
    assert stored["w.codes"].tolist() == [136] * 4


def test_a_network_of_all_layers_and_units_is_the_network_itself() -> None:
    vit = zoo.load("vit")
    same = shrink(vit, list(range(6)), 256)
    assert all(torch.equal(value, vit.state_dict()[key]) for key, value in same.state_dict().items())
    with torch.no_grad():
        next(same.parameters()).zero_()
    assert bool(next(vit.parameters()).any())


def test_units_stay_with_their_biases_and_columns() -> None:
    vit = zoo.load("vit")
    small = shrink(vit, [4], 3)
    source, state = vit.state_dict(), small.state_dict()
    rows = source["vit.layers.4.mlp.fc1.weight"]
    for unit in range(3):
        (place,) = (rows == state["vit.layers.0.mlp.fc1.weight"][unit]).all(dim=1).nonzero()[0].tolist()
        assert source["vit.layers.4.mlp.fc1.bias"][place] == state["vit.layers.0.mlp.fc1.bias"][unit]
        assert torch.equal(
            source["vit.layers.4.mlp.fc2.weight"][:, place], state["vit.layers.0.mlp.fc2.weight"][:, unit]
        )
