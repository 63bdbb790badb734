"""Data sets: splits without overlap, tensors of the stated shapes, nothing held out inside labkit."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest
import torch

import heldout
from labkit import data, zoo


@pytest.mark.parametrize("name", ["languages", "prose", "fashion"])
def test_students_get_train_and_validation_only(name: str) -> None:
    assert set(getattr(data, name)()) == {"train", "validation"}
    assert not list(data.ASSETS.rglob("*test*"))


def contents(name: str, split: str) -> list[str]:
    table = getattr(heldout, name)() if split == "test" else getattr(data, name)()[split]
    if name == "fashion":
        return [hashlib.sha256(image.tobytes()).hexdigest() for image in table["image"]]
    return list(table["text"])


@pytest.mark.parametrize("name", ["languages", "prose", "fashion"])
def test_no_row_is_in_two_splits(name: str) -> None:
    splits = [set(contents(name, split)) for split in ("train", "validation", "test")]
    assert not splits[0] & splits[1] and not splits[0] & splits[2] and not splits[1] & splits[2]


def test_prose_is_split_by_address() -> None:
    splits = data.prose()
    titles = [*splits["train"]["title"], *splits["validation"]["title"], *heldout.prose()["title"]]
    assert len(titles) == len(set(titles))


def test_every_class_is_in_every_split() -> None:
    for name in ("languages", "fashion"):
        for table in (*getattr(data, name)().values(), getattr(heldout, name)()):
            counts = Counter(table["label"])
            assert set(counts) == set(range(10))
            assert max(counts.values()) <= 4 * min(counts.values())
            assert table.features["label"].num_classes == 10


def test_fashion_has_the_stated_sizes() -> None:
    splits = data.fashion()
    assert (len(splits["train"]), len(splits["validation"]), len(heldout.fashion())) == (8_000, 1_000, 2_000)


def test_sentences_become_padded_ids_with_a_mask() -> None:
    tensors = data.tensors(data.languages()["validation"], limit=50)
    assert tensors["input_ids"].shape == tensors["attention_mask"].shape == (50, data.SENTENCE_TOKENS)
    assert torch.equal(tensors["attention_mask"].bool(), tensors["input_ids"] != 0)
    assert tensors["labels"].shape == (50,)
    assert all(value.dtype == torch.int64 for value in tensors.values())


def test_pictures_become_floats_between_minus_one_and_one() -> None:
    tensors = data.tensors(data.fashion()["validation"], limit=20)
    pixels = tensors["pixel_values"]
    assert pixels.shape == (20, 1, 28, 28)
    assert pixels.min() == -1 and 0.9 < pixels.max() <= 1


def test_blocks_hold_the_text_in_order() -> None:
    table = data.prose()["validation"]
    blocks = data.tensors(table, length=64)["input_ids"]
    assert blocks.shape[1] == 64
    start = zoo.tokenizer("llama").decode(blocks[:4].flatten()).strip()
    assert table["text"][0].startswith(start[:150])
    assert torch.equal(data.tensors(table, length=64, limit=3)["input_ids"], blocks[:3])


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_tokenizers_give_any_text_back(name: str) -> None:
    tokenizer = zoo.tokenizer(name)
    for text in ("Hello, world!", "São Tomé e Príncipe", "blåbær 北京 \N{SNOWMAN}"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True).strip() == text


def test_another_table_is_refused() -> None:
    with pytest.raises(ValueError, match="no data set"):
        data.tensors(data.fashion()["train"].select(range(2)).remove_columns("label"))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_stored_tokens_are_what_the_tokenizer_makes(split: str) -> None:
    """Also by another length, and not for other texts."""
    rows = data.prose()[split]
    made = data.tensors(rows, tokenizer=zoo.tokenizer("llama"))["input_ids"]
    stored = data.tensors(rows)["input_ids"]
    assert stored.dtype == made.dtype == torch.int64 and torch.equal(stored, made)
    whole = made.numel() // 96 * 96
    assert torch.equal(data.tensors(rows, length=96)["input_ids"].flatten()[:whole], made.flatten()[:whole])
    fewer = rows.select(range(len(rows) - 1))
    assert torch.equal(
        data.tensors(fewer)["input_ids"], data.tensors(fewer, tokenizer=zoo.tokenizer("llama"))["input_ids"]
    )
