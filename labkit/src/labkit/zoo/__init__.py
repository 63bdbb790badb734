"""Models of the course: one call, three sizes.

``tiny``   small models of the real architectures, trained by the course; weights inside the package.
``small``  public weights that install with pip: MiniLM (BERT), SmolLM2 (Llama, Mistral).
``full``   the published checkpoints, for a machine with a GPU.

Tiny and small never use a network. Whatever is missing raises ``Unavailable`` with one line that says what,
where and what to do next.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.zoo.build import build, check_name
from labkit.zoo.configs import TASKS, TINY
from labkit.zoo.errors import Unavailable

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PROFILES", "Unavailable", "build", "card", "load", "names", "task", "tokenizer"]

PROFILES = ("tiny", "small", "full")


def names() -> list[str]:
    """Return the names that ``load`` takes."""
    return list(TINY)


def task(name: str) -> str:
    """Return the data set a model is trained on: "languages", "prose" or "fashion".

    Raises:
        ValueError: the name is unknown.
    """
    check_name(name)
    return TASKS[name]


def load(
    name: str,
    profile: str = "tiny",
    *,
    attention: str | None = None,
    checkpoint: str | Path | None = None,
) -> nn.Module:
    """Return a trained model in float32 and eval mode.

    Args:
        name: one of ``names()``.
        profile: ``"tiny"``, ``"small"`` or ``"full"``.
        attention: ``"sdpa"`` or ``"eager"``; see ``build``.
        checkpoint: for ``full`` only: a folder in hub format, or a hub id, instead of the published one.

    Raises:
        Unavailable: the weights, a package or a GPU is missing.
        ValueError: the name or the profile is unknown, or ``checkpoint`` is given with another profile.
    """
    check_name(name)
    _check_profile(profile, checkpoint)
    if profile == "tiny":
        from labkit.zoo.tiny import load_tiny

        return load_tiny(name, attention)
    if profile == "small":
        from labkit.zoo.small import load_small

        return load_small(name, attention)
    from labkit.zoo.full import load_full

    return load_full(name, attention, checkpoint)


def tokenizer(name: str, profile: str = "tiny", *, checkpoint: str | Path | None = None) -> Any:
    """Return the tokenizer that belongs to ``load(name, profile)``.

    Raises:
        Unavailable: its files are missing.
        ValueError: the name or the profile is unknown, or the model reads pictures.
    """
    check_name(name)
    _check_profile(profile, checkpoint)
    if TASKS[name] == "fashion":
        raise ValueError(f"{name} reads pictures and has no tokenizer")
    if profile == "tiny":
        from labkit.zoo.tokenizers import course_tokenizer

        return course_tokenizer(TASKS[name])
    if profile == "small":
        from labkit.zoo.small import small_tokenizer

        return small_tokenizer(name)
    from labkit.zoo.full import full_tokenizer

    return full_tokenizer(name, checkpoint)


def card(name: str) -> str:
    """Return the model card of a tiny model, in Markdown: data, config, training, metric, licence.

    Raises:
        Unavailable: the model has not been trained in this checkout.
        ValueError: the name is unknown.
    """
    from labkit.zoo.cards import read_card

    check_name(name)
    return read_card(name)


def _check_profile(profile: str, checkpoint: str | Path | None) -> None:
    if profile not in PROFILES:
        raise ValueError(f"no profile is called {profile!r}; there are {', '.join(PROFILES)}")
    if checkpoint is not None and profile != "full":
        raise ValueError(f"checkpoint belongs to profile 'full', not to {profile!r}")
