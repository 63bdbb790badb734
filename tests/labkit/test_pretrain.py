"""How data is cleaned and split, how models are trained, and what the manifest and the licence check say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autograder.quality import asset_licences
from labkit import zoo
from reference_impl.pretrain import __main__ as command
from reference_impl.pretrain import cards, data_assets, languages, manifest, prose, sources, training
from reference_impl.pretrain.recipes import RECIPES, Recipe

REPOSITORY = Path(__file__).parents[2]
SHORT = Recipe("fashion", steps=20, batch=16, learning_rate=2e-3, warmup=5)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Páxina <b>%(page)s</b> de %d", "páxina de"),
        ("Ver _todo\n {count} &mais", "ver todo mais"),
        ("100%% Seguro", "100%% seguro"),
    ],
)
def test_translations_lose_placeholders_and_markup(raw: str, cleaned: str) -> None:
    assert languages.clean(raw) == cleaned


@settings(max_examples=60)
@given(words=st.lists(st.sampled_from(["delete", "page", "user", "image"]), min_size=1, max_size=4))
def test_a_message_goes_to_one_split_whatever_its_punctuation_and_number(words: list[str]) -> None:
    plain = " ".join(words)
    for variant in (plain.title() + "…", plain + "s", f"{plain} %(name)s", plain.upper() + "!"):
        assert languages.split_of(languages.message_key(variant)) == languages.split_of(
            languages.message_key(plain)
        )


def test_splits_have_about_their_shares() -> None:
    found = [languages.split_of(f"message {i}") for i in range(4_000)]
    assert found.count("test") == pytest.approx(600, abs=90)
    assert found.count("validation") == pytest.approx(400, abs=80)


def test_addresses_lose_stage_directions_and_typography() -> None:
    assert (
        prose.clean("\u201cWe\u2014all\u201d [Applause] won\u2019t.\n\n  Next ") == '"We--all" won\'t.\nNext'
    )


def test_a_missing_source_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(sources.SourceMissing, match=r"requirements/pretrain\.txt"):
        sources.package_directory("no_such_package_here")
    monkeypatch.setattr(sources, "FASHION_MNIST", tmp_path)
    with pytest.raises(sources.SourceMissing, match="apt-get install dataset-fashion-mnist"):
        sources.fashion_mnist_file("t10k-labels-idx1-ubyte.gz")


def test_training_twice_gives_the_same_weights_and_learns() -> None:
    first, second = training.train("encoder", SHORT, 3), training.train("encoder", SHORT, 3)
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert first.losses == second.losses and first.losses[-1] < first.losses[0]
    assert not first.model.training and len(first.losses) == 10


def test_a_supernet_is_trained_by_the_sandwich_rule() -> None:
    recipe = Recipe("fashion", steps=20, batch=16, learning_rate=2e-3, warmup=5, random_subnets=1)
    first, second = training.train("supernet", recipe, 3), training.train("supernet", recipe, 3)
    ours, theirs = first.model.state_dict(), second.model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert first.losses[-1] < first.losses[0]
    plain = training.train("supernet", SHORT, 3).model.state_dict()
    assert not torch.equal(ours["embed.weight"], plain["embed.weight"])


def test_the_learning_rate_rises_then_falls_to_two_percent() -> None:
    rates = [training.learning_rate_at(step, SHORT) for step in range(SHORT.steps + 1)]
    assert rates[0] < rates[3] < rates[4] and rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0.02 * SHORT.learning_rate)


def test_an_epoch_sees_no_row_twice_and_pads_no_further_than_needed() -> None:
    ids = torch.arange(1, 41).view(20, 2)
    mask = torch.ones(20, 2, dtype=torch.int64)
    mask[:, 1] = 0
    rows = {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(20)}
    batches = training.labelled_batches(rows, 8, torch.Generator().manual_seed(0))
    first, second = next(batches), next(batches)
    assert not set(first["labels"].tolist()) & set(second["labels"].tolist())
    assert first["input_ids"].shape == (8, 1)


def test_stored_weights_come_back_rounded_to_half_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = zoo.build("gpt2", n_layer=1)
    monkeypatch.setattr(command, "MODELS", tmp_path)
    size = command.store("gpt2", training.Run(model, [], 0.0))
    assert size == (tmp_path / "gpt2.safetensors").stat().st_size
    from labkit.zoo.tiny import load_weights

    other = zoo.build("gpt2", seed=1, n_layer=1)
    load_weights(other, tmp_path / "gpt2.safetensors")
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value.half().float())


def test_the_command_line_names_unknown_models(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(["bret"])
    assert "no model is called bret" in capsys.readouterr().err
    assert command.parse([]).seeds == [0, 1, 2] and set(RECIPES) == set(manifest.MODEL_TASKS)


def test_cards_are_what_the_facts_say() -> None:
    """A card edited by hand, or left from an older run, differs."""
    for path in sorted((REPOSITORY / "labkit/src/labkit/assets/cards").glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        assert path.with_suffix(".md").read_text(encoding="utf-8") == cards.markdown(facts)


def copy_of_the_assets(folder: Path) -> Path:
    for name in asset_licences.FOLDERS:
        shutil.copytree(REPOSITORY / name, folder / name)
    return folder


def test_every_asset_is_listed_with_its_hash() -> None:
    assert asset_licences.check(REPOSITORY) == []


def test_the_licence_check_sees_what_is_wrong(tmp_path: Path) -> None:
    root = copy_of_the_assets(tmp_path)
    assets, held_out = (root / name for name in asset_licences.FOLDERS)
    (assets / "extra.bin").write_bytes(b"\x80\x04more")
    (assets / "prose" / "tokenizer.json").write_text("{}")
    (held_out / "prose" / "test.parquet").unlink()
    listed = json.loads((held_out / "MANIFEST.json").read_text())
    listed["languages/test.parquet"]["licence"] = ""
    (held_out / "MANIFEST.json").write_text(json.dumps(listed))
    problems = "\n".join(asset_licences.check(root))
    for part in (
        "extra.bin is not in MANIFEST.json",
        "tokenizer.json has another hash",
        "prose/test.parquet is listed but missing",
        "languages/test.parquet names no licence",
    ):
        assert part in problems
    listed = json.loads((assets / "MANIFEST.json").read_text())
    listed["extra.bin"] = {"source": "s", "licence": "l", "sha256": "0"}
    (assets / "MANIFEST.json").write_text(json.dumps(listed))
    assert "extra.bin is a pickle" in "\n".join(asset_licences.check(root))
    (assets / "MANIFEST.json").unlink()
    assert "can not be read" in asset_licences.check(root)[0]


@pytest.mark.nightly
def test_the_data_is_built_again_byte_for_byte(tmp_path: Path) -> None:
    assets, held_out = tmp_path / "assets", tmp_path / "heldout"
    try:
        data_assets.build(assets, held_out)
    except sources.SourceMissing as reason:
        pytest.skip(str(reason))
    for built, stored in zip((assets, held_out), asset_licences.FOLDERS, strict=True):
        files = [path for path in built.rglob("*") if path.is_file()]
        assert len(files) >= 3
        for path in files:
            assert path.read_bytes() == (REPOSITORY / stored / path.relative_to(built)).read_bytes(), (
                path.name
            )
