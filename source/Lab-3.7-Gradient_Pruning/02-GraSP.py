# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] lang="en"
# # GraSP
#
# You remove the weights without which the gradient loses least, by one product of the Hessian with the gradient, before
# the first training step.
#
# | | |
# |---|---|
# | You will be able to | compute H g over many batches without ever holding H, get GraSP's sign right, and say what its temperature does |
# | Time | about 75 minutes |
# | Points | 22 of the lab's 100, all autograded |
# | You need | notebook 01; `create_graph`; what a Hessian-vector product is |
# | Papers | Wang et al. 2020, GraSP (arXiv 2002.07376); Pearlmutter 1994, Fast Exact Multiplication by the Hessian; Lubana and Dick 2021, A Gradient Flow Framework for Analyzing Network Pruning (arXiv 2009.11839) |

# %% [markdown] lang="zh-TW"
# # GraSP
#
# 你會在訓練開始之前，以一次 Hessian 與梯度的乘積，移除對梯度影響最小的權重。
#
# | | |
# |---|---|
# | 完成後你能 | 不建立 H 而跨多個批次算出 H g、寫對 GraSP 的正負號，並說明溫度的作用 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分，全部自動評分 |
# | 先備知識 | 筆記本 01；`create_graph`；Hessian 與向量的乘積 |
# | 論文 | Wang et al. 2020, GraSP (arXiv 2002.07376)；Pearlmutter 1994, Fast Exact Multiplication by the Hessian；Lubana and Dick 2021 (arXiv 2009.11839) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
from itertools import pairwise

import torch
from labkit import checks, data, evaluation, ops, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn
from torch.nn.utils import prune

runtime.start(seed=372)
pictures = {split: data.tensors(data.fashion()[split]) for split in ("train", "validation")}
rows = {split: {"input": part["pixel_values"], "labels": part["labels"]} for split, part in pictures.items()}
SPARSITY = 0.98
NAMES = ["1.weight", "3.weight", "5.weight"]  # the matrices of `lenet`


def lenet(seed: int) -> nn.Module:
    """LeNet-300-100, the network of the SNIP paper, before training: 266,200 weights in three matrices."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
        )
        for name in NAMES:
            nn.init.kaiming_normal_(network.get_parameter(name))
    for bias in (network[1].bias, network[3].bias, network[5].bias):
        nn.init.zeros_(bias)
    return network


def drawn(part: dict[str, Tensor], count: int, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """So many random rows of a split with their labels."""
    index = torch.randperm(len(part["labels"]), generator=generator)[:count]
    return {key: value[index] for key, value in part.items()}


# %% [markdown]
# ## Why
#
# SNIP asks which weights the loss depends on now. Before training the loss is that of guessing, and nobody wants to
# keep it. GraSP asks which weights the next steps depend on: a step of gradient descent lowers the loss by the
# learning rate times $g^\top g$, so the gradient should still be large after pruning.
#
# At 98% LeNet-300-100 keeps 5,324 of its 266,200 weights. Trained for 150 steps with a random choice of them it names
# 29 of 100 pictures correctly, with GraSP's choice 67.

# %% [markdown]
# ## By hand
#
# Two weights, $w = (1, 1)$, and the loss $L = 2 w_1^2 + \tfrac12 (w_2 - 3)^2$.
#
# - The gradient is $g = (4 w_1,\ w_2 - 3) = (4, -2)$ and $g^\top g = 20$.
# - The second derivatives are 4 and 1, so $H g = (16, -2)$.
# - The scores $S = -w \odot H g$ are $(-16, 2)$.
#
# Remove the first weight: $g = (0, -2)$, $g^\top g$ falls from 20 to 4. Remove the second: $g = (4, -3)$, and it rises
# to 25. The second weight has the higher score and goes first.
#
# Notice what that means. The second weight wants to grow to 3, and GraSP removes it because its gradient is
# larger without it. A gradient that says "bring it back" counts like any other, but behind a mask nobody can follow it.

# %% [markdown]
# ## Formula
#
# Scale weight $j$ from $w_j$ to $(1 - \epsilon) w_j$. To first order in $\epsilon$, $g^\top g$ changes by (Wang et al. 2020,
# equations 6 to 8)
#
# $$ (g + H \delta)^\top (g + H \delta) - g^\top g \approx 2\, \delta^\top H g = 2 \epsilon S_j, \qquad S = -w \odot H g $$
#
# - $w$: all weights that may be removed, of all layers together; $g$, $H$: first and second derivatives of the loss in them
# - $\delta$: the change of the weights, $-\epsilon w_j$ in place $j$ and 0 elsewhere
#
# The weights with the highest scores are removed, with their signs: a score of −5 stays before one of −1. The loss is
# taken at a high temperature, $L = \mathrm{CE}(\text{logits} / T)$ with $T = 200$. Then all classes are nearly
# equally likely, whatever the random weights happen to predict.
#
# $H$ has 266,200² entries, 283 GB in float32. $H g$ is the derivative of $g^\top v$ with $v$ held at the value of $g$, and
# costs about as much as two backward passes.

# %% [markdown]
# ## You write: the product
#
# Several batches stand for one large batch, as in notebook 01. Here it matters more: if each batch multiplies its own
# Hessian by its own gradient, the mean of the products is no $H g$ of anything.
#
# <details><summary>Hint</summary>
# $H$ of all rows is the mean of the batches' Hessians. Which vector has to be known before the first of them can be
# applied? How many times do you walk over the batches?
# </details>
#
# <details><summary>Hint for the second derivative</summary>
# Inside $g^\top v$ only $g$ carries a graph. If $v$ carries it too, the result is $2 H g$.
# </details>

# %% nbgrader={"grade_id": "hessian_gradient_product", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.grasp import hessian_gradient_product

# %% [markdown]
# ### Check: against a difference of gradients
#
# In float64, the gradient a little further along $g$ minus the one a little back, over the distance, is $H g$ to
# eight digits. The check compares shares of the largest entry, because at $T = 200$ all entries are tiny.


# %% nbgrader={"grade_id": "test_hessian_gradient_product", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def products_of(hessian_gradient_product, matrices, batches, names, options, wrapped=False):
    from types import SimpleNamespace

    from torch import nn

    layers = []
    for matrix in matrices:
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=matrix.dtype)
        layer.weight.data = matrix.clone()
        layers += [layer, nn.Tanh()]

    class Net(nn.Sequential):
        def forward(self, input):
            out = super().forward(input)
            return SimpleNamespace(logits=out) if wrapped else out

    products = hessian_gradient_product(Net(*layers[:-1]), batches, names, **options)
    return {name: product.detach() for name, product in products.items()}


def by_differences(matrices: list[Tensor], batch: dict[str, Tensor], temperature: float) -> list[Tensor]:
    """H g of all matrices together, from gradients at two places along g."""

    def gradient(points: list[Tensor]) -> list[Tensor]:
        points = [point.clone().requires_grad_() for point in points]
        x = batch["input"]
        for number, point in enumerate(points):
            x = (torch.tanh(x) if number else x) @ point.T
        return list(
            torch.autograd.grad(nn.functional.cross_entropy(x / temperature, batch["labels"]), points)
        )

    g = gradient(matrices)
    size = sum(part.square().sum() for part in g).sqrt()
    sides = [
        gradient([m + sign * 1e-4 * part / size for m, part in zip(matrices, g, strict=True)])
        for sign in (1, -1)
    ]
    return [(up - down) / 2e-4 * size for up, down in zip(*sides, strict=True)]


torch.manual_seed(1)
matrices = [torch.randn(3, 4, dtype=torch.float64)]
batch = {"input": torch.randn(9, 4, dtype=torch.float64), "labels": torch.arange(9) % 3}
for temperature in (1.0, 3.0):
    expected = by_differences(matrices, batch, temperature)[0]
    found = products_of(
        hessian_gradient_product, matrices, [batch], ["0.weight"], {"temperature": temperature}
    )
    checks.assert_close(
        found["0.weight"] / expected.abs().max(),
        expected / expected.abs().max(),
        f"H g of one layer, temperature {temperature}",
        atol=1e-6,
        hint="the derivative of g·v with v fixed at g; divide the logits by T. A factor of 2: v carries a graph",
    )
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("hgp")
for widths, options in (
    ((6, 8, 3), {"temperature": 1.0}),
    ((5, 7, 4, 3), {"temperature": 20.0}),
    ((6, 8, 3), {}),
):
    matrices = [
        torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        for inputs, outputs in pairwise(widths)
    ]
    batch = {
        "input": torch.randn(40, widths[0], generator=generator, dtype=torch.float64),
        "labels": torch.randint(0, 3, (40,), generator=generator),
    }
    layers = [f"{2 * number}.weight" for number in range(len(matrices))]
    expected = by_differences(matrices, batch, options.get("temperature", 200.0))
    largest = max(part.abs().max() for part in expected)
    for split, wrapped in (([40], True), ([20, 20], False), ([25, 12, 3], False)):
        parts = {key: value.split(split) for key, value in batch.items()}
        batches = [{key: parts[key][number] for key in parts} for number in range(len(split))]
        found = products_of(hessian_gradient_product, matrices, batches, layers, options, wrapped)
        for name, part in zip(layers, expected, strict=True):
            checks.assert_close(
                found[name] / largest,
                part / largest,
                f"H g of {name} of {len(layers)} layers, {options}, rows in batches of {split}",
                atol=1e-6,
                hint="layers are coupled: one sum over all; g of all rows before H; the default temperature is 200",
            )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: the model afterwards


# %% nbgrader={"grade_id": "test_product_side_effects", "solution": false, "grade": true, "locked": true, "points": 2, "schema_version": 3, "task": false}
@probe
def after_product(hessian_gradient_product, matrices, batch, training):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3, bias=False))
    for layer, matrix in zip((net[0], net[3]), matrices, strict=True):
        layer.weight.data = matrix.clone()
        layer.weight.grad = torch.full_like(matrix, 7.0)
    net.train(training)
    products = hessian_gradient_product(net, [batch], ["0.weight", "3.weight"], temperature=1.0)
    return {
        "products": [products[name].detach() for name in ("0.weight", "3.weight")],
        "graph": [products[name].requires_grad for name in ("0.weight", "3.weight")],
        "mode": net.training,
        "grads": [net[0].weight.grad, net[3].weight.grad],
    }


torch.manual_seed(2)
matrices = [torch.randn(8, 6), torch.randn(3, 8)]
batch = {"input": torch.randn(30, 6), "labels": torch.arange(30) % 3}
evidence = after_product(hessian_gradient_product, matrices, batch, False)
checks.assert_equal(
    evidence["graph"], [False, False], "products without a graph", hint="a graph keeps all activations alive"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("product_side_effects")
matrices = [torch.randn(8, 6, generator=generator), torch.randn(3, 8, generator=generator)]
batch = {
    "input": torch.randn(30, 6, generator=generator),
    "labels": torch.randint(0, 3, (30,), generator=generator),
}
still, moving = (after_product(hessian_gradient_product, matrices, batch, mode) for mode in (False, True))
for one, other in zip(still["products"], moving["products"], strict=True):
    checks.assert_close(
        other,
        one,
        "products of a model in train mode",
        atol=1e-5,
        hint="dropout draws another mask in each pass: call model.eval() first",
    )
checks.assert_equal(
    [still["mode"], moving["mode"]],
    [False, True],
    "mode of the model afterwards",
    hint="give the model back in the mode it came in",
)
for grad, matrix in zip(moving["grads"], matrices, strict=True):
    checks.assert_equal(
        grad,
        torch.full_like(matrix, 7.0),
        ".grad afterwards",
        hint="backward() adds to .grad; use torch.autograd.grad",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the scores

# %% nbgrader={"grade_id": "grasp_scores", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.grasp import grasp_scores

# %% [markdown]
# ### Check: what a gate does to the gradient
#
# The check scales one weight at a time by $1 \pm \epsilon$ and measures the gradient's $\tfrac12 g^\top g$ at both places. Closing
# the gate is a step in the direction of $-\epsilon$.


# %% nbgrader={"grade_id": "test_grasp_scores", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def scores_with_weights(grasp_scores, matrices, batches, names, options):
    from torch import nn

    layers = []
    for matrix in matrices:
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=matrix.dtype)
        layer.weight.data = matrix.clone()
        layers += [layer, nn.Tanh()]
    scores = grasp_scores(nn.Sequential(*layers[:-1]), batches, names, **options)
    return {
        "scores": {name: score.detach() for name, score in scores.items()},
        "weights": [layer.weight.detach() for layer in layers[::2]],
        "graph": [score.requires_grad for score in scores.values()],
    }


def flow_by_gate(matrices: list[Tensor], batch: dict[str, Tensor], temperature: float) -> list[Tensor]:
    """-d(½ g·g)/dc for a gate c on every weight, by central differences."""

    def half_square(points: list[Tensor]) -> float:
        points = [point.clone().requires_grad_() for point in points]
        x = batch["input"]
        for number, point in enumerate(points):
            x = (torch.tanh(x) if number else x) @ point.T
        g = torch.autograd.grad(nn.functional.cross_entropy(x / temperature, batch["labels"]), points)
        return 0.5 * sum(part.square().sum().item() for part in g)

    slopes = []
    for number, matrix in enumerate(matrices):
        slope = torch.zeros(matrix.numel(), dtype=torch.float64)
        for j in range(matrix.numel()):
            sides = []
            for gate in (1 + 1e-4, 1 - 1e-4):
                changed = [part.clone() for part in matrices]
                changed[number].view(-1)[j] *= gate
                sides.append(half_square(changed))
            slope[j] = -(sides[0] - sides[1]) / 2e-4
        slopes.append(slope.reshape(matrix.shape))
    return slopes


torch.manual_seed(3)
matrices = [torch.randn(3, 4, dtype=torch.float64)]
batch = {"input": torch.randn(9, 4, dtype=torch.float64), "labels": torch.arange(9) % 3}
expected = flow_by_gate(matrices, batch, 1.0)[0]
evidence = scores_with_weights(grasp_scores, matrices, [batch], ["0.weight"], {"temperature": 1.0})
checks.assert_close(
    evidence["scores"]["0.weight"].abs() / expected.abs().max(),
    expected.abs() / expected.abs().max(),
    "size of the scores, one layer",
    atol=1e-5,
    hint="the weight times its entry of H g, not normalised",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("grasp_scores")
for widths, options in (
    ((5, 6, 3), {"temperature": 1.0}),
    ((4, 5, 4, 3), {"temperature": 9.0}),
    ((5, 6, 3), {}),
):
    matrices = [
        torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        for inputs, outputs in pairwise(widths)
    ]
    batch = {
        "input": torch.randn(30, widths[0], generator=generator, dtype=torch.float64),
        "labels": torch.randint(0, 3, (30,), generator=generator),
    }
    layers = [f"{2 * number}.weight" for number in range(len(matrices))]
    expected = flow_by_gate(matrices, batch, options.get("temperature", 200.0))
    largest = max(part.abs().max() for part in expected)
    halves = [{key: value[rows] for key, value in batch.items()} for rows in (slice(0, 18), slice(18, 30))]
    evidence = scores_with_weights(grasp_scores, matrices, halves, layers, options)
    for name, part, given, left in zip(layers, expected, matrices, evidence["weights"], strict=True):
        checks.assert_close(
            evidence["scores"][name] / largest,
            part / largest,
            f"scores of {name} of {len(layers)} layers, {options}",
            atol=1e-5,
            hint="S = -w * H g with its sign: above 0 where g·g grows without the weight; pass the temperature on",
        )
        checks.assert_equal(
            left, given, f"{name} afterwards", hint="do not change or re-initialise the model"
        )
    checks.assert_equal(
        evidence["graph"], [False] * len(layers), "scores without a graph", hint="detach the weights"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the mask

# %% nbgrader={"grade_id": "grasp_mask", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.grasp import grasp_mask

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_grasp_mask", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
masks = grasp_mask({"w": torch.tensor([-16.0, 2.0])}, 0.5)
checks.assert_equal(
    masks["w"],
    [1.0, 0.0],
    "mask of the example by hand",
    hint="the highest score goes: 0 for it, 1 for the other",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("grasp_mask")
scores = {
    "a": torch.randn(7, 5, generator=generator),
    "b": 5 * torch.randn(4, 3, 2, generator=generator),
    "c": torch.randn(6, generator=generator) - 3.0,
}
flat = torch.cat([score.flatten() for score in scores.values()]).sort(descending=True).values
for sparsity in (0.0, 0.27, 0.615, 0.96, 1.0):
    removed = round(sparsity * 65)
    limit = flat[removed - 1] if removed else float("inf")
    masks = grasp_mask(scores, sparsity)
    for name, score in scores.items():
        checks.assert_equal(
            masks[name],
            (score < limit).float(),
            f"mask of {name} at sparsity {sparsity}",
            hint="one threshold for all layers; signs count; round(sparsity * n) of the highest scores go",
        )
checks.assert_equal(
    str(masks["a"].dtype), "torch.float32", "dtype of a mask", hint="zeros and ones, as float32"
)
checks.assert_equal(
    int(grasp_mask({"a": torch.zeros(9, 9)}, 0.5)["a"].sum()),
    41,
    "weights that stay where scores are equal",
    hint="exactly 41 of the 81 stay: round(40.5) is 40",
)
checks.assert_raises("ValueError", grasp_mask, scores, 1.5, label="sparsity 1.5", hint="0 to 1 is possible")
### END HIDDEN TESTS

# %% nbgrader={"grade_id": "trained", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]


def trained(
    network: nn.Module, masks: dict[str, Tensor], part: dict[str, Tensor], seed: int, steps: int = 150
) -> nn.Module:
    """The network itself, pruned by the masks and then trained; the masks hold."""
    layers = [network.get_submodule(name.removesuffix(".weight")) for name in masks]
    for layer, mask in zip(layers, masks.values(), strict=True):
        prune.custom_from_mask(layer, "weight", mask)
    training.fit(network, part, steps=steps, learning_rate=3e-3, batch=64, seed=seed)
    for layer in layers:
        prune.remove(layer, "weight")
    return network


# %% [markdown]
# ### Check: GraSP after training
#
# The hidden part scores four fresh networks on fresh pictures at the default temperature, trains each under the mask of your
# scores, and measures them on the test pictures. Random masks reach 0.35 there on average.


# %% nbgrader={"grade_id": "test_grasp_trained", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def scores_at_start(grasp_scores, state, batch, names):
    from torch import nn

    network = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )
    network.load_state_dict(state)
    return grasp_scores(network, [batch], names)


start = lenet(5)
found = scores_at_start(
    grasp_scores, start.state_dict(), drawn(rows["train"], 64, torch.Generator().manual_seed(5)), NAMES
)
checks.assert_equal(
    [list(found[name].shape) for name in NAMES],
    [[300, 784], [100, 300], [10, 100]],
    "shapes of the scores of three matrices",
    hint="one score for each weight",
)
### BEGIN HIDDEN TESTS
from heldout import fashion as test_split

generator = checks.hidden_generator("grasp_trained")
unseen = data.tensors(test_split())
unseen = {"input": unseen["pixel_values"], "labels": unseen["labels"]}
reached = []
for seed in torch.randint(100, 10_000, (4,), generator=generator).tolist():
    network = lenet(seed)
    found = scores_at_start(grasp_scores, network.state_dict(), drawn(rows["train"], 512, generator), NAMES)
    flat = torch.cat([found[name].flatten() for name in NAMES])
    limit = flat.sort().values[len(flat) - round(SPARSITY * len(flat))]
    masks = {name: (found[name] < limit).float() for name in NAMES}
    checks.assert_at_least(
        sum(float(mask.sum()) for mask in masks.values()) / len(flat),
        1 - SPARSITY - 1e-3,
        "share of weights that stay",
        hint="equal scores for many weights can not be ranked",
    )
    reached.append(evaluation.quality(trained(network, masks, rows["train"], seed), unseen)[1])
checks.assert_at_least(
    sum(reached) / 4,
    0.6,
    "mean accuracy of four networks pruned by GraSP",
    hint="-w * H g with its sign, temperature 200 by default",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# GraSP promises a pruned network whose gradient is still strong. For five masks of each of three networks the next cells
# measure $g^\top g$ in the weights that are left, at $T = 200$ and before training, and the accuracy after it. Which temperature
# will do better? Is a stronger gradient a better mask? "Reversed" removes the lowest scores.


# %%
def flow(network: nn.Module, masks: dict[str, Tensor], batch: dict[str, Tensor]) -> float:
    """g·g at T = 200 in the weights that are left; the network is pruned in place."""
    weights = [network.get_parameter(name) for name in masks]
    for weight, mask in zip(weights, masks.values(), strict=True):
        weight.data *= mask
    cooled = network(batch["input"]) / 200
    slopes = torch.autograd.grad(nn.functional.cross_entropy(cooled, batch["labels"]), weights)
    return sum((g * mask).square().sum().item() for g, mask in zip(slopes, masks.values(), strict=True))


def masks_of(network: nn.Module, batch: dict[str, Tensor], matrices: list[str], sparsity: float) -> dict:
    """A mask a kind; each maps names to masks."""
    weights = {name: network.get_parameter(name) for name in matrices}
    slopes = torch.autograd.grad(training.loss(network, batch), list(weights.values()))
    hot = grasp_scores(network, [batch], matrices)
    scores = {  # the highest go
        "random": {name: torch.rand(weight.shape) for name, weight in weights.items()},
        "SNIP": {n: -(weights[n] * g).detach().abs() for n, g in zip(weights, slopes, strict=True)},
        "GraSP, T = 1": grasp_scores(network, [batch], matrices, temperature=1.0),
        "GraSP, T = 200": hot,
        "reversed, T = 200": {name: -score for name, score in hot.items()},
    }
    return {kind: grasp_mask(each, sparsity) for kind, each in scores.items()}


# %%
strength: dict[str, list[float]] = {}
accuracy: dict[str, list[float]] = {}
for seed in range(3):
    batch = drawn(rows["train"], 512)
    whole = flow(lenet(seed), {name: torch.ones(1) for name in NAMES}, batch)
    for kind, masks in masks_of(lenet(seed), batch, NAMES, SPARSITY).items():
        strength.setdefault(kind, []).append(flow(lenet(seed), masks, batch) / whole)
        network = trained(lenet(seed), masks, rows["train"], seed)
        accuracy.setdefault(kind, []).append(evaluation.quality(network, rows["validation"])[1])
figure, axes = plots.figure(
    "A stronger gradient is not always a better mask",
    alt="Accuracy after training over g·g of the pruned network, logarithmic, for five kinds of mask and three networks. "
    "GraSP at temperature 200 has the strongest gradient and accuracy 0.67. At temperature 1 the gradient is half as "
    "strong and the accuracy near 0.15. SNIP has a gradient forty times weaker and accuracy 0.71.",
)
for kind, marker in zip(strength, "osD^v", strict=True):
    axes.scatter(strength[kind], accuracy[kind], marker=marker, label=kind)
axes.set_xscale("log")
axes.set_xlabel("g·g of the pruned network over the full one's")
axes.set_ylabel("accuracy after training (share of rows)")
axes.legend(fontsize=8)
plots.show(figure)
for kind, values in accuracy.items():
    print(f"{kind:18s} g·g {sum(strength[kind]) / 3:.4f}   accuracy", "  ".join(f"{v:.3f}" for v in values))

# %% [markdown]
# GraSP at $T = 200$ keeps what it promises: 2% of the weights carry 40% of $g^\top g$, and the network trains to 0.67 where chance
# gives 0.29. At $T = 1$ the masks keep 18% of it, far more than SNIP's 1%, and hardly train: 0.10 to 0.17. SNIP
# has the weaker gradient and the better accuracy. So a strong gradient is no proof of a good mask.
#
# At $T = 1$ the random network is confident about some rows and wrong. Their probabilities near 0 and 1 give
# a curvature that says how this random guess would change, and $H g$ follows it. At $T = 200$ all classes are nearly even, and $H$ says
# how strongly each weight moves the logits. This temperature is a hidden constant of the method, and it decides.

# %% [markdown]
# ## Measure: a Transformer
#
# PyTorch's fused attention computes its gradient in one kernel, and that kernel has no derivative. `attention="eager"`
# writes attention out. The masks keep 2% of the 18 matrices of a Vision Transformer with three layers; one seed, 60 steps.

# %%
sample = drawn(pictures["train"], 512)
fused = zoo.build("vit", seed=0, num_hidden_layers=3)
matrices = [f"{name}.weight" for name in ops.weight_layers(fused, skip=("classifier",))]
try:
    hessian_gradient_product(fused, [sample], matrices)
except RuntimeError as error:
    print(type(error).__name__, str(error).splitlines()[0])

# %%
untrained = zoo.build("vit", seed=0, attention="eager", num_hidden_layers=3)
models = {}
for kind, masks in masks_of(untrained, sample, matrices, SPARSITY).items():
    models[kind] = trained(copy.deepcopy(untrained), masks, pictures["train"], 0, steps=60)
    print(f"{kind:18s} empty matrices: {sum(bool(mask.sum() == 0) for mask in masks.values())}")
table = evaluation.report(models, pictures["validation"], latency_rows=1, repeats=1)
print(evaluation.show(table[["sparsity", "accuracy", "recovery"]]))

# %% [markdown]
# On the Transformer GraSP beats chance, 0.359 against 0.211, and the sign does not show: reversed it reaches 0.396. That is
# no gain to build on. Over three seeds at 100 steps the two are as far apart as two seeds are (the lab's README has the table).
# A score of large size, of either sign, belongs to a weight that the signal passes through, and at 2% that matters more than the direction in
# which the gradient changes. The checks above hold you to the sign by differences, not by accuracy.

# %% [markdown]
# ## What goes wrong
#
# - **The sign.** $+w \odot Hg$ with the highest removed is the row "reversed". It runs and trains, and only a number beside
#   it says that something is wrong.
# - **A temperature that is not passed on.** The scores have the right shape and the right sign of many entries; the
#   table's row at $T = 1$ is what you get.
# - **A vector that carries a graph.** The derivative of $g^\top g$ is $2 H g$: the order of the scores is right, their size is
#   not. It costs nothing here and breaks every use of $H g$ that needs its size.
# - **The layers built anew.** The scores belong to one draw of the weights. Training another draw under the same mask
#   throws away what GraSP asked about.

# %% [markdown]
# ## At full size
#
# One product for one matrix of the published BERT. Where its weights or a GPU are missing, the cell says so in one line.

# %%
try:
    full = zoo.load("bert", profile="full", attention="eager")
    tokenizer = zoo.tokenizer("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    device = next(full.parameters()).device
    rows = data.tensors(data.languages()["train"].select(range(2)), tokenizer=tokenizer)
    matrices = [f"{name}.weight" for name in ops.weight_layers(full, skip=("classifier", "pooler"))][:2]
    scores = grasp_scores(full, [{key: value.to(device) for key, value in rows.items()}], matrices)
    for name in matrices:
        positive = (scores[name] > 0).float().mean().item()
        print(f"{name}: the gradient grows without {100 * positive:.1f}% of the weights")

# %% [markdown]
# ## Further reading
#
# - [The chapter on pruning and sparsity](../../theory/3.2-Pruning_and_Sparsity.md): the expansion of $g^\top g$, step by step.
# - Wang et al. 2020 (arXiv 2002.07376): GraSP, with its link to the neural tangent kernel.
# - Lubana and Dick 2021 (arXiv 2009.11839): size, first and second order compared through what they do to the gradient.
# - Frankle et al. 2021 (arXiv 2009.08576): GraSP beside SNIP, SynFlow and their shuffled masks.
