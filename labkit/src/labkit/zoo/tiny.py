"""The tiny profile: weights that travel with the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from labkit.data import ASSETS
from labkit.zoo.build import build
from labkit.zoo.errors import Unavailable
from labkit.zoo.outliers import add_outlier_channels

if TYPE_CHECKING:
    from torch import Tensor, nn

MODELS = ASSETS / "models"
WEIGHTS_OF = {"llama-outliers": "llama"}


def load_tiny(name: str, attention: str | None = None) -> nn.Module:
    """Return the trained tiny model, float32, in eval mode.

    Files hold float16; every weight is a float16 number stored as float32 once loaded.

    Raises:
        Unavailable: the weights are not in the package.
    """
    source = WEIGHTS_OF.get(name, name)
    path = MODELS / f"{source}.safetensors"
    if not path.is_file():
        raise Unavailable(
            f"the weights of {source} are missing",
            f"looked for {path.name} in the assets of labkit",
            f"Train them: python -m reference_impl.pretrain {source}.",
        )
    model = build(name, attention=attention)
    load_weights(model, path)
    if name == "llama-outliers":
        add_outlier_channels(model)
    return model.eval()


def load_weights(model: nn.Module, path: Path) -> None:
    """Copy a safetensors file into ``model``; a tied output layer need not be in the file.

    Raises:
        RuntimeError: a tensor is missing, unknown or of another shape.
    """
    from safetensors.torch import load_file

    stored = {
        key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()
    }
    missing = set(model.state_dict()) - set(stored) - tied_keys(model)
    if missing:
        raise RuntimeError(f"{path.name} lacks {', '.join(sorted(missing))}")
    model.load_state_dict(stored, strict=False)


def tied_keys(model: nn.Module) -> set[str]:
    """Return the names of parameters that share memory with one named earlier."""
    seen: set[int] = set()
    tied: set[str] = set()
    for key, value in model.state_dict().items():
        if value.data_ptr() in seen and value.numel():
            tied.add(key)
        seen.add(value.data_ptr())
    return tied


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return what a weights file holds: every tensor once, floats as float16, contiguous."""
    skipped = tied_keys(model)
    return {
        key: (value.half() if value.is_floating_point() else value).detach().contiguous()
        for key, value in model.state_dict().items()
        if key not in skipped
    }
