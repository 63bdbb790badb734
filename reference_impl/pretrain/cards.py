"""Write the card of a trained model: Markdown to read, JSON for the tests that measure it again."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from labkit.zoo.configs import TINY

from reference_impl.pretrain.manifest import DATA_SOURCES
from reference_impl.pretrain.recipes import METRIC_OF_TASK, RECIPES, SUBNETS, Recipe

_TASK_TEXT = {
    "languages": "Tell which of ten close languages a sentence of a user interface is in",
    "fashion": "Tell which of ten kinds of clothing a 28 by 28 picture shows",
    "prose": "Predict the next token of State of the Union addresses",
}
_SPLIT_TEXT = {
    "languages": "Messages are disjoint: all translations of one message are in one split.",
    "fashion": "Train and validation are disjoint subsets of the published training pictures, "
    "test is a subset of the published test pictures.",
    "prose": "Whole addresses are in one split. Blocks of 128 tokens, vocabulary 512.",
}


_AUGMENTATION = {"fashion": " A random half of each batch mirrored."}


def facts_of(name: str, runs: list[dict[str, Any]], parameters: int, stored_bytes: int) -> dict[str, Any]:
    """Return the numbers of a card; the first run is the one whose weights are stored."""
    recipe = RECIPES[name]
    tests = [float(run["test"]) for run in runs]
    return {
        "bytes": stored_bytes,
        "metric": METRIC_OF_TASK[recipe.task],
        "name": name,
        "parameters": parameters,
        "runs": runs,
        "task": recipe.task,
        "test": runs[0]["test"],
        "test_mean": statistics.mean(tests),
        "test_spread": statistics.stdev(tests) if len(tests) > 1 else 0.0,
        "validation": runs[0]["validation"],
    }


def _table(runs: list[dict[str, Any]], metric: str) -> str:
    lines = [
        f"| seed | validation {metric} | test {metric} | last training loss | CPU seconds |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {run['seed']} | {run['validation']:.4f} | {run['test']:.4f} | {run['losses'][-1]:.3f} "
        f"| {run['cpu_seconds']:.0f} |"
        for run in runs
    ]
    return "\n".join(lines)


def _config(name: str) -> str:
    return ", ".join(f"{key} {value}" for key, value in TINY[name].items())


def _training(recipe: Recipe) -> str:
    return (
        f"AdamW, {recipe.steps:,} steps of {recipe.batch} rows, learning rate {recipe.learning_rate:g} after "
        f"{recipe.warmup} warm-up steps with cosine decay, weight decay {recipe.weight_decay:g}, gradient "
        "norm at most 1, one thread." + _AUGMENTATION.get(recipe.task, "") + _sandwich(recipe)
    )


def _sandwich(recipe: Recipe) -> str:
    if not recipe.random_subnets:
        return ""
    return (
        f" The first {recipe.whole_first:,} steps train the whole network alone. Each later step adds the "
        "gradients of the whole network on the labels and of the smallest and "
        f"{recipe.random_subnets} random subnets on the whole network's probabilities (sandwich rule, Yu et al. "
        f"2020). A subnet has the first 1 to {SUBNETS['layers']} layers, of each the first "
        f"{SUBNETS['heads']} heads and {SUBNETS['ffn']} inner channels."
    )


def markdown(facts: dict[str, Any]) -> str:
    """Return the card as Markdown, from the numbers of ``facts_of``."""
    name, task, metric, runs = facts["name"], facts["task"], facts["metric"], facts["runs"]
    seeds = " ".join(str(run["seed"]) for run in runs)
    return f"""# {name} (tiny)

**Task.** {_TASK_TEXT[task]}.
**Data.** {DATA_SOURCES[task][0]}; licence: {DATA_SOURCES[task][1]}. {_SPLIT_TEXT[task]}
**Config.** {_config(name)}. {facts["parameters"]:,} parameters.
**Training.** {_training(RECIPES[name])}
**Command.** `python -m reference_impl.pretrain {name} --seeds {seeds}`

{_table(runs, metric)}

Over {len(runs)} training seeds: test {metric} {facts["test_mean"]:.4f}, standard deviation \
{facts["test_spread"]:.4f}. The stored weights are those of seed {runs[0]["seed"]}.

**File.** {facts["bytes"]:,} bytes, float16. The metrics of that seed are those of the stored file, loaded \
as float32; before rounding to float16 the test {metric} was {runs[0]["test_before_rounding"]:.4f}.
**Licence.** Weights MIT, as the course.
**Use.** Made to be compressed in class. It knows only this data set.
"""


def write(folder: Path, facts: dict[str, Any]) -> None:
    """Write ``<name>.md`` and ``<name>.json`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{facts['name']}.md").write_text(markdown(facts), encoding="utf-8")
    text = json.dumps(facts, indent=1, sort_keys=True)
    (folder / f"{facts['name']}.json").write_text(text + "\n", encoding="utf-8")
