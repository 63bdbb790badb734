"""Ten close languages: which language is this sentence of a user interface in?

Sentences are translations that ship inside BSD-licensed packages. A message (one English original) goes to
one split with all its translations, so a model can not recognise a test sentence by its meaning.
"""

from __future__ import annotations

import gettext
import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from reference_impl.pretrain.sources import package_directory

LANGUAGES = ("es", "gl", "pt", "ca", "it", "ro", "fr", "da", "nb", "sv")
PACKAGES = ("django", "wagtail", "sphinx")
REGIONS = {"pt": ("pt", "pt_PT", "pt_BR"), "nb": ("nb", "nb_NO")}
JUPYTER_PACKS = {
    "es": "es_ES", "pt": "pt_BR", "ca": "ca_ES", "it": "it_IT",
    "ro": "ro_RO", "fr": "fr_FR", "da": "da_DK", "nb": "no_NO",
}  # fmt: skip
SHORTEST = 12
LONGEST = 120
LARGEST_CLASS = 1_800
TEST_SHARE, VALIDATION_SHARE = 0.15, 0.10

_PLACEHOLDER = re.compile(
    r"<[^>]*>|%\([a-z_]+\)[a-z]|\{[^}]*\}|%[-0-9.$]*[a-zA-Z]|`[^`]*`|https?://\S+|[&_*\\]"
)
_SPACE = re.compile(r"\s+")
_NOT_A_LETTER = re.compile(r"[^a-z]+")

Row = tuple[str, int]


def clean(text: str) -> str:
    """Remove placeholders, tags and markup from a translation; lower-case it; join the white space."""
    return _SPACE.sub(" ", _PLACEHOLDER.sub(" ", text)).strip().lower()


def message_key(original: str) -> str:
    """Reduce an English original to its words, so that "Delete page" and "Delete pages…" are one message."""
    words = _NOT_A_LETTER.sub(" ", clean(original)).split()
    return " ".join(word.removesuffix("s") for word in words)


def split_of(key: str) -> str:
    """Return the split that a message belongs to; it depends on the message alone."""
    position = int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 16**8
    if position < TEST_SHARE:
        return "test"
    return "validation" if position < TEST_SHARE + VALIDATION_SHARE else "train"


def usable(text: str) -> bool:
    """Tell whether a cleaned translation is long enough and mostly letters."""
    letters = sum(character.isalpha() for character in text)
    return SHORTEST <= len(text) <= LONGEST and letters > 0.7 * len(text)


def catalogues(language: str) -> Iterator[Path]:
    """Yield the compiled translation files (.mo) of one language, in a fixed order."""
    for package in PACKAGES:
        for region in REGIONS.get(language, (language,)):
            yield from sorted(package_directory(package).glob(f"**/{region}/LC_MESSAGES/*.mo"))
    if language in JUPYTER_PACKS:
        folder = package_directory(f"jupyterlab_language_pack_{JUPYTER_PACKS[language]}")
        yield from sorted(folder.glob("**/*.mo"))


def translations(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (English original, translation) of one .mo file; plural forms come as several pairs."""
    with path.open("rb") as stream:
        catalogue: dict[str | tuple[str, int], str] = gettext.GNUTranslations(stream)._catalog  # type: ignore[attr-defined]
    for original, text in catalogue.items():
        source = original[0] if isinstance(original, tuple) else original
        if source and text != source:
            yield source, text


def collect() -> dict[str, list[Row]]:
    """Return the rows (text, label) of every split, balanced by a cap on each class.

    A sentence written the same way in two languages, or in two splits, is dropped: it has no single answer.
    """
    owners: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for label, language in enumerate(LANGUAGES):
        for path in catalogues(language):
            for original, text in translations(path):
                cleaned = clean(text)
                if usable(cleaned) and cleaned != clean(original):
                    owners[cleaned].add((label, split_of(message_key(original))))
    by_class: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for text, found in sorted(owners.items()):
        if len(found) == 1:
            label, split = next(iter(found))
            by_class[label].append((text, split))
    shuffle = random.Random(0)
    splits: dict[str, list[Row]] = {"train": [], "validation": [], "test": []}
    for label, rows in sorted(by_class.items()):
        shuffle.shuffle(rows)
        for text, split in rows[:LARGEST_CLASS]:
            splits[split].append((text, label))
    for rows_of_split in splits.values():
        shuffle.shuffle(rows_of_split)
    return splits
