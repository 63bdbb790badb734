"""Find the packages that the data sets are made from, without importing them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


class SourceMissing(RuntimeError):
    """A package or Debian file that a data set is built from is not installed."""


def package_directory(name: str) -> Path:
    """Return the folder of the installed package ``name``.

    The package is located, not imported: building data must not start Django.

    Raises:
        SourceMissing: the package is not installed.
    """
    found = importlib.util.find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise SourceMissing(
            f"package {name} is not installed: pip install --no-deps -r requirements/pretrain.txt"
        )
    return Path(next(iter(found.submodule_search_locations)))


def fashion_mnist_file(name: str) -> Path:
    """Return the path of one idx.gz file of Debian's ``dataset-fashion-mnist``.

    Raises:
        SourceMissing: the Debian package is not installed.
    """
    path = FASHION_MNIST / name
    if not path.is_file():
        raise SourceMissing(f"{path} is missing: apt-get install dataset-fashion-mnist")
    return path
