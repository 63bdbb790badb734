"""Untrained models from the tiny configs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit.compat.logs import quiet_imports
from labkit.zoo.configs import CLASS_NAMES, TINY

if TYPE_CHECKING:
    from torch import nn


def check_name(name: str) -> None:
    """Raise ``ValueError`` with the known names if ``name`` is not one of them."""
    if name not in TINY:
        raise ValueError(f"no model is called {name!r}; the zoo has {', '.join(TINY)}")


def build(name: str, *, seed: int = 0, attention: str | None = None, **overrides: Any) -> nn.Module:
    """Return an untrained model with the tiny config of ``name``, in train mode.

    Args:
        name: one of ``zoo.names()``.
        seed: of the initial weights; the global random state is left as it was.
        attention: ``"sdpa"`` (fused, the default) or ``"eager"`` (written out; ONNX export, second
            derivatives and attention maps need it). The course's ``encoder`` is always written out, its
            ``supernet`` always fused.
        overrides: replace entries of the config, for instance ``num_hidden_layers=2``.

    Raises:
        ValueError: the name is unknown.
    """
    import torch

    check_name(name)
    settings = {**TINY[name], **overrides}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name == "encoder":
            from labkit.zoo.encoder import Encoder

            return Encoder(**settings)
        if name == "supernet":
            from labkit.zoo.supernet import Supernet

            return Supernet(**settings)
        return _from_transformers(name, settings, attention or "sdpa").train()


def _from_transformers(name: str, settings: dict[str, Any], attention: str) -> nn.Module:
    quiet_imports()
    import transformers

    config_name, model_name = CLASS_NAMES[name]
    config = getattr(transformers, config_name)(**settings, attn_implementation=attention)
    model: nn.Module = getattr(transformers, model_name)(config)
    return model
