"""A subset of Fashion-MNIST: 28 by 28 grey pictures of ten kinds of clothing (Xiao, Rasul, Vollgraf 2017)."""

from __future__ import annotations

import gzip
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from reference_impl.pretrain.sources import fashion_mnist_file

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
SIZES = {"train": 8_000, "validation": 1_000, "test": 2_000}
IMAGE_HEADER, LABEL_HEADER = 16, 8

Row = tuple[bytes, int]


def read(prefix: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images (n, 28, 28) and labels (n,) of the published "train" or "t10k" file pair."""
    pixels = gzip.decompress(fashion_mnist_file(f"{prefix}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress(fashion_mnist_file(f"{prefix}-labels-idx1-ubyte.gz").read_bytes())
    images = np.frombuffer(pixels, dtype=np.uint8, offset=IMAGE_HEADER).reshape(-1, 28, 28)
    return images, np.frombuffer(labels, dtype=np.uint8, offset=LABEL_HEADER)


def balanced(labels: NDArray[np.uint8], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return ``count`` indices with the same number of every class, in random order."""
    chosen = [
        generator.choice(np.flatnonzero(labels == label), count // len(CLASSES), replace=False)
        for label in range(len(CLASSES))
    ]
    return generator.permutation(np.concatenate(chosen))


def png(image: NDArray[np.uint8]) -> bytes:
    """Return one picture as PNG bytes, without loss."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="png", optimize=True)
    return stream.getvalue()


def collect() -> dict[str, list[Row]]:
    """Return the rows (PNG bytes, label) of every split.

    Train and validation come from the published training pictures and share none; test comes from the
    published test pictures.
    """
    generator = np.random.default_rng(0)
    images, labels = read("train")
    both = balanced(labels, SIZES["train"] + SIZES["validation"], generator)
    test_images, test_labels = read("t10k")
    test = balanced(test_labels, SIZES["test"], generator)

    def rows(pictures: NDArray[np.uint8], answers: NDArray[np.uint8], index: NDArray[np.int64]) -> list[Row]:
        return [(png(pictures[i]), int(answers[i])) for i in index]

    return {
        "train": rows(images, labels, both[: SIZES["train"]]),
        "validation": rows(images, labels, both[SIZES["train"] :]),
        "test": rows(test_images, test_labels, test),
    }
