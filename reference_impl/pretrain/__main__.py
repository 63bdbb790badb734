"""Command line: build the data, train the models, write weights, cards and the manifest."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from labkit.zoo.cards import CARDS
from labkit.zoo.tiny import MODELS, load_tiny, stored_tensors
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file

import heldout
from labkit import data, zoo
from reference_impl.pretrain import cards, data_assets, manifest
from reference_impl.pretrain.recipes import RECIPES, Recipe
from reference_impl.pretrain.sources import SourceMissing
from reference_impl.pretrain.training import Run, measure, train

LARGEST_FILE = 5_000_000
HELDOUT = Path(heldout.__file__).parent


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m reference_impl.pretrain", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(RECIPES)}; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="the first one is stored")
    parser.add_argument("--data-only", action="store_true", help="build the data sets, train nothing")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.models) - set(RECIPES))
    if unknown:
        parser.error(f"no model is called {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    return options


def train_seed(name: str, recipe: Recipe, seed: int, console: Console) -> Run:
    """Train one seed behind a progress bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("loss {task.fields[loss]:.3f}"), console=console) as progress:
        bar = progress.add_task(f"{name} seed {seed}", total=recipe.steps, loss=float("nan"))
        return train(name, recipe, seed, advance=lambda loss: progress.update(bar, advance=1, loss=loss))


def store(name: str, run: Run) -> int:
    """Write the weights as float16 safetensors and return the file's size in bytes.

    Raises:
        RuntimeError: the file is larger than 5 MB.
    """
    MODELS.mkdir(parents=True, exist_ok=True)
    path = MODELS / f"{name}.safetensors"
    save_file(stored_tensors(run.model), path, metadata={"format": "pt"})
    path.chmod(0o644)
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise RuntimeError(f"{path.name} has {size:,} bytes, more than {LARGEST_FILE:,}")
    return size


def train_model(name: str, seeds: list[int], console: Console) -> dict[str, Any]:
    """Train every seed, store the first, measure all; return the facts of the card."""
    recipe = RECIPES[name]
    validation = data.tensors(getattr(data, recipe.task)()["validation"])
    test = data.tensors(getattr(heldout, recipe.task)())
    runs: list[dict[str, Any]] = []
    size = parameters = 0
    for seed in seeds:
        run = train_seed(name, recipe, seed, console)
        model, before = run.model, measure(run.model, test)
        if not runs:
            size = store(name, run)
            model = load_tiny(name)
            parameters = sum(parameter.numel() for parameter in model.parameters())
        runs.append(
            {
                "seed": seed,
                "validation": measure(model, validation),
                "test": measure(model, test),
                "test_before_rounding": before,
                "losses": [round(loss, 4) for loss in run.losses],
                "cpu_seconds": round(run.cpu_seconds, 1),
            }
        )
        facts = cards.facts_of(name, runs, parameters, size)
        cards.write(CARDS, facts)
        manifest.write(data.ASSETS)
        console.print(f"{name} seed {seed}: test {facts['metric']} {runs[-1]['test']:.4f}")
    return facts


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parse(arguments)
    console = Console()
    warnings.simplefilter("error")
    try:
        if options.data_only or not (data.ASSETS / "prose" / "train.parquet").is_file():
            data_assets.build(data.ASSETS, HELDOUT)
        if not options.data_only:
            for name in options.models or list(RECIPES):
                train_model(name, options.seeds, console)
    except (SourceMissing, zoo.Unavailable) as problem:
        console.print(f"[bold]stopped:[/bold] {problem}")
        return 2
    listed = manifest.write(data.ASSETS) + manifest.write(HELDOUT)
    console.print(f"assets and held-out data: {listed:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
