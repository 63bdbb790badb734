"""Write the data sets and tokenizers: train and validation for students, test for the judge alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
from labkit.data import texts_digest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from reference_impl.pretrain import fashion, languages, prose

LANGUAGE_VOCABULARY = 1_024
PROSE_VOCABULARY = 512
LANGUAGE_SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
PROSE_SPECIALS = ("<pad>", "<end>")


def write_table(path: Path, columns: Mapping[str, list[Any]]) -> None:
    """Write columns as one parquet file, compressed by Zstandard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(dict(columns)), path, compression="zstd", compression_level=19)


def train_bpe(texts: Iterable[str], vocabulary: int, specials: tuple[str, ...]) -> Tokenizer:
    """Train a byte-level BPE tokenizer (Sennrich 2016) of ``vocabulary`` entries, special tokens first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def language_tokenizer(texts: Iterable[str]) -> Tokenizer:
    """Return the tokenizer of the language task: [CLS] text [SEP], as BERT reads it."""
    tokenizer = train_bpe(texts, LANGUAGE_VOCABULARY, LANGUAGE_SPECIALS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def write_tokens(folder: Path) -> None:
    """Write the tokens of each split of prose beside it, as ``labkit.data`` reads them: one stream, with the hash
    of the texts."""
    end = PROSE_SPECIALS.index("<end>")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for split in ("train", "validation"):
        texts = pq.read_table(folder / f"{split}.parquet")["text"].to_pylist()
        encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
        stream = [token for one in encoded for token in (*one.ids, end)]
        table = pa.table({"token": pa.array(stream, pa.uint16())})
        table = table.replace_schema_metadata({"texts": texts_digest(texts)})
        path = folder / f"{split}.tokens.parquet"
        pq.write_table(table, path, compression="zstd", compression_level=19)


def build(assets: Path, heldout: Path) -> None:
    """Build the three data sets and two tokenizers from the installed packages, byte for byte reproducible.

    Raises:
        SourceMissing: a source package is not installed.
    """

    def folder(split: str) -> Path:
        return heldout if split == "test" else assets

    sentences = languages.collect()
    for split, rows in sentences.items():
        path = folder(split) / "languages" / f"{split}.parquet"
        write_table(path, {"text": [text for text, _ in rows], "label": [label for _, label in rows]})
    tokenizer = language_tokenizer(text for text, _ in sentences["train"])
    tokenizer.save(str(assets / "languages" / "tokenizer.json"), pretty=False)

    for split, documents in prose.collect().items():
        path = folder(split) / "prose" / f"{split}.parquet"
        write_table(path, {key: [row[key] for row in documents] for key in ("title", "year", "text")})
        if split == "train":
            trained = train_bpe((str(row["text"]) for row in documents), PROSE_VOCABULARY, PROSE_SPECIALS)
            trained.save(str(assets / "prose" / "tokenizer.json"), pretty=False)
    write_tokens(assets / "prose")

    for split, pictures in fashion.collect().items():
        path = folder(split) / "fashion" / f"{split}.parquet"
        write_table(
            path,
            {
                "image": [{"bytes": image, "path": None} for image, _ in pictures],
                "label": [label for _, label in pictures],
            },
        )
