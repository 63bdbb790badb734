"""Three data sets that travel with the course: languages, prose and fashion.

Each call returns a ``datasets.DatasetDict`` with ``train`` and ``validation``. Nothing is downloaded and
nothing is written: the tables are read from files beside this module. The course keeps its test data apart,
so a number measured here is a validation number.

=============  ===================================================  ==============  ======================
data set       task                                                 columns         from
=============  ===================================================  ==============  ======================
``languages``  which of ten close languages is this sentence in?    text, label     interface translations
``prose``      predict the next token                               title, year,    State of the Union
                                                                    text            addresses
``fashion``    which of ten kinds of clothing is this picture?      image, label    Fashion-MNIST
=============  ===================================================  ==============  ======================
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from torch import Tensor

ASSETS = Path(__file__).parent / "assets"
LANGUAGES = ("es", "gl", "pt", "ca", "it", "ro", "fr", "da", "nb", "sv")
CLOTHES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
SENTENCE_TOKENS = 32
BLOCK_TOKENS = 128
PIXEL_MEAN = PIXEL_DEVIATION = 0.5


def languages() -> DatasetDict:
    """Return sentences of user interfaces in ten close languages, with the language as label 0 to 9.

    Seven Romance languages (es gl pt ca it ro fr) and three Scandinavian (da nb sv). All translations of one
    message are in one split.
    """
    return _splits("languages")


def prose() -> DatasetDict:
    """Return State of the Union addresses from 1934 to 2000, one row an address, split by address."""
    return _splits("prose")


def fashion() -> DatasetDict:
    """Return 28 by 28 grey pictures of clothing with labels 0 to 9: 8,000 to train, 1,000 to validate."""
    return _splits("fashion")


def table(name: str, path: Path) -> Dataset:
    """Read one parquet file of data set ``name`` into memory, with named labels and decoded pictures.

    Raises:
        FileNotFoundError: ``path`` does not exist.
        KeyError: ``name`` is not a data set of this module.
    """
    import datasets
    import pyarrow.parquet

    features = _features(name)
    return datasets.Dataset(pyarrow.parquet.read_table(path).cast(features.arrow_schema))


def tensors(
    rows: Dataset, *, tokenizer: Any = None, length: int | None = None, limit: int | None = None
) -> dict[str, Tensor]:
    """Turn rows of one of the three data sets into the tensors a model takes.

    Args:
        rows: a split, or any selection of its rows.
        tokenizer: replaces the course's own tokenizer, for instance that of a ``small`` model.
        length: tokens a row; 32 for sentences (padded, cut), 128 for blocks of prose (joined, then cut).
        limit: at most so many rows of the result, the first ones.

    Returns:
        For sentences ``input_ids``, ``attention_mask`` (n, length) and ``labels`` (n,), all int64.
        For pictures ``pixel_values`` (n, 1, 28, 28), float32 in [-1, 1], and ``labels`` (n,).
        For prose ``input_ids`` (n, length): consecutive blocks, an end token after every address, the last
        partial block left out.

    Raises:
        ValueError: the columns are of none of the three data sets.
    """
    columns = set(rows.column_names)
    if {"image", "label"} <= columns:
        return _pictures(rows.select(range(min(limit, len(rows)))) if limit is not None else rows)
    if {"text", "label"} <= columns:
        chosen = rows.select(range(min(limit, len(rows)))) if limit is not None else rows
        return _sentences(chosen, tokenizer or _tokenizer("languages"), length or SENTENCE_TOKENS)
    if "text" in columns:
        blocks = _blocks(_stream(rows, tokenizer), length or BLOCK_TOKENS)
        return {"input_ids": blocks[:limit]}
    raise ValueError(f"columns {sorted(columns)} are of no data set of labkit.data")


def _splits(name: str) -> DatasetDict:
    import datasets

    return datasets.DatasetDict(
        {split: table(name, ASSETS / name / f"{split}.parquet") for split in ("train", "validation")}
    )


def _features(name: str) -> Any:
    from datasets import ClassLabel, Features, Image, Value

    return {
        "languages": Features({"text": Value("string"), "label": ClassLabel(names=list(LANGUAGES))}),
        "prose": Features({"title": Value("string"), "year": Value("int64"), "text": Value("string")}),
        "fashion": Features({"image": Image(), "label": ClassLabel(names=list(CLOTHES))}),
    }[name]


def _tokenizer(name: str) -> Any:
    from labkit.zoo.tokenizers import course_tokenizer

    return course_tokenizer(name)


def _sentences(rows: Dataset, tokenizer: Any, length: int) -> dict[str, Tensor]:
    import torch

    encoded = tokenizer(
        list(rows["text"]), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
    )
    return {
        "input_ids": encoded["input_ids"],
        "attention_mask": encoded["attention_mask"],
        "labels": torch.tensor(list(rows["label"])),
    }


def _pictures(rows: Dataset) -> dict[str, Tensor]:
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in rows["image"]]))
    scaled = (pixels.unsqueeze(1).float() / 255 - PIXEL_MEAN) / PIXEL_DEVIATION
    return {"pixel_values": scaled, "labels": torch.tensor(list(rows["label"]))}


def _blocks(stream: Tensor, length: int) -> Tensor:
    count = len(stream) // length
    return stream[: count * length].view(count, length)


def _stream(rows: Dataset, tokenizer: Any) -> Tensor:
    """The tokens of all rows, one after the other, with an end token after each."""
    import torch

    texts = list(rows["text"])
    known = _stored_tokens(texts) if tokenizer is None else None
    if known is not None:
        return known
    tokenizer = tokenizer or _tokenizer("prose")
    stream: list[int] = []
    for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]:
        stream.extend(ids)
        stream.append(tokenizer.eos_token_id)
    return torch.tensor(stream)


def texts_digest(texts: list[str]) -> str:
    """A hash of texts in their order, by which their stored tokens are known."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def _stored_tokens(texts: list[str]) -> Tensor | None:
    """The tokens of a whole split, which are stored: making them takes a second each time. None for other texts."""
    import pyarrow.parquet
    import torch

    digest = texts_digest(texts).encode()
    for file in sorted((ASSETS / "prose").glob("*.tokens.parquet")):
        if (pyarrow.parquet.read_schema(file).metadata or {}).get(b"texts") == digest:
            column = pyarrow.parquet.read_table(file)["token"]
            return torch.from_numpy(column.to_numpy().astype("int64"))
    return None
