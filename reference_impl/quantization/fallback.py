"""Accuracy-driven fallback: which layers stay in float32 until the accuracy is good enough."""

from collections.abc import Callable
from typing import Any


def select_layers_to_keep_fp32(
    layers: list[str],
    evaluate: Callable[[list[str]], float],
    baseline: float,
    *,
    tolerable_loss: float,
    criterion: str = "relative",
) -> dict[str, Any]:
    """Keep as few layers in float32 as a greedy search needs.

    Args:
        layers: names of the layers that can be quantized.
        evaluate: `evaluate(kept)` is the accuracy, 0 to 1, of the model in which the layers named in
            `kept` stay in float32 and all others are quantized. A call is expensive.
        baseline: accuracy of the float32 model.
        tolerable_loss: how much may be lost, for instance 0.01.
        criterion: "relative" accepts accuracy >= baseline * (1 - tolerable_loss); "absolute" accepts
            accuracy >= baseline - tolerable_loss. Anything else raises `ValueError`.

    Returns:
        `{"kept": list of names in the order in which they were added, "accuracy": float of the final
        choice, "accepted": bool}`.

        1. If `evaluate([])` is accepted, nothing is kept.
        2. Otherwise evaluate each layer alone, `evaluate([layer])`, and rank the layers by that
           accuracy, highest first; equals stay in the order of `layers`.
        3. Keep the first, the first two, ... of the ranking until `evaluate` of them is accepted. The
           lists with no name and with one name were measured already: do not evaluate them again.
           If even all layers are not accepted, return them all with "accepted" False.

    Papers: Wu et al. 2020 (arXiv 2004.09602), section 6.2 (partial quantization); the tuning loop of
    Intel Neural Compressor works the same way.
    """
    ### BEGIN SOLUTION
    if criterion == "relative":
        target = baseline * (1 - tolerable_loss)
    elif criterion == "absolute":
        target = baseline - tolerable_loss
    else:
        raise ValueError(f"criterion must be 'relative' or 'absolute', not {criterion!r}")
    kept: list[str] = []
    accuracy = evaluate(kept)
    if accuracy < target:
        alone = {layer: evaluate([layer]) for layer in layers}
        ranking = sorted(layers, key=lambda layer: -alone[layer])
        for count in range(1, len(ranking) + 1):
            kept = ranking[:count]
            accuracy = alone[kept[0]] if count == 1 else evaluate(kept)
            if accuracy >= target:
                break
    return {"kept": kept, "accuracy": accuracy, "accepted": accuracy >= target}
    ### END SOLUTION
