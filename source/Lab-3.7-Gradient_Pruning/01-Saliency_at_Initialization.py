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
# # Saliency at initialization
#
# You remove 98% of a network's weights before its first training step, by the slope of the loss in a gate on each
# weight, and train what is left.
#
# | | |
# |---|---|
# | You will be able to | write SNIP in one shot and in rounds, check it against a finite difference, and say what it has to beat |
# | Time | about 75 minutes |
# | Points | 22 of the lab's 100, all autograded |
# | You need | `torch.autograd.grad`; masks (Lab 3.5); what train and eval mode do to dropout |
# | Papers | Lee et al. 2019, SNIP (arXiv 1810.02340); de Jorge et al. 2020, Progressive Skeletonization (arXiv 2006.09081); Frankle et al. 2021, Pruning Neural Networks at Initialization (arXiv 2009.08576) |

# %% [markdown] lang="zh-TW"
# # 初始化時的重要性
#
# 你會在訓練開始之前，依損失對每個權重閘門的斜率移除 98% 的權重，再訓練剩下的網路。
#
# | | |
# |---|---|
# | 完成後你能 | 寫出一次完成與分輪進行的 SNIP、以有限差分檢驗，並說出它必須勝過什麼 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 22 分，全部自動評分 |
# | 先備知識 | `torch.autograd.grad`；遮罩（實驗 3.5）；訓練與評估模式對 dropout 的影響 |
# | 論文 | Lee et al. 2019, SNIP (arXiv 1810.02340)；de Jorge et al. 2020, Progressive Skeletonization (arXiv 2006.09081)；Frankle et al. 2021, Pruning Neural Networks at Initialization (arXiv 2009.08576) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy  # your functions need it
from itertools import pairwise

import torch
from labkit import checks, data, evaluation, ops, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn
from torch.nn.utils import prune

runtime.start(seed=371)
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
# Pruning after training pays for the large network first. If the right 2% of the weights were known beforehand, only
# those would have to be trained. LeNet-300-100 has 266,200 weights in three matrices. Trained for 150 steps with all of
# them it names 82 of 100 pictures of clothing correctly; with a random 2% of them, 38. SNIP chooses the 2%
# from 512 pictures, with one backward pass, and reaches 71.

# %% [markdown]
# ## By hand
#
# A layer with two inputs and two outputs, $W = \begin{pmatrix} 2 & -1 \\ 4 & -2 \end{pmatrix}$, sees the input
# $x = (1, 2)$, whose label is the first output. Both logits are 0, so both probabilities are 0.5.
#
# - The loss's derivative in the logits is probability minus target: (−0.5, 0.5).
# - In the weights it is the outer product with $x$: $G = \begin{pmatrix} -0.5 & -1 \\ 0.5 & 1 \end{pmatrix}$.
# - $|W \odot G| = \begin{pmatrix} 1 & 1 \\ 2 & 2 \end{pmatrix}$, and divided by the sum, 6:
#   $\begin{pmatrix} 0.17 & 0.17 \\ 0.33 & 0.33 \end{pmatrix}$.
#
# The size of the weights alone would say 2, 1, 4, 2, the gradient alone 0.5, 1, 0.5, 1. Take both out of the same
# half and half: the product says that the second row matters twice as much as the first.
#
# Now add a second example with the same $x$ and the other label. Its gradient is $-G$, the mean of both is 0, and so are
# all scores: to first order nothing changes the loss of this batch. Whoever takes the absolute value of each
# example first and then the mean gets the numbers above, which belong to another question.

# %% [markdown]
# ## Formula
#
# Put a gate $c_j = 1$ on each weight and ask how the loss changes as the gate closes (Lee et al. 2019, equations 3 to 6):
#
# $$ s_j = \frac{|g_j(w)|}{\sum_k |g_k(w)|}, \qquad
# g_j(w) = \left.\frac{\partial L(c \odot w)}{\partial c_j}\right|_{c = 1} = w_j \frac{\partial L}{\partial w_j} $$
#
# - $w$: all weights that may be removed, of all layers together; $c$: as many gates
# - $L$: the mean cross-entropy of the rows that are shown
#
# Scores of different layers are compared with each other: that is what the sum over all $k$ is for. It makes the scores of one
# network shares of 1; it does not change their order.

# %% [markdown]
# ## You write: the scores
#
# Rows may come in several batches, of different sizes, because a large model can not see all of them at once. The
# result is that of one large batch.
#
# <details><summary>Hint</summary>
# `labkit.training.loss(model, batch)` is the mean over a batch's rows. How does the mean over 300 rows follow from
# the means over 256 and over 44?
# </details>
#
# <details><summary>Hint for a clean model</summary>
# `backward()` adds to `.grad`; `torch.autograd.grad` does not touch it. A `try` with a `finally` gives the mode back.
# </details>

# %% nbgrader={"grade_id": "snip_scores", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.snip import snip_scores

# %% [markdown]
# ### Check: the slope of a gate
#
# In float64 a central difference is good to eight digits. The check turns each gate a little up and down and compares.


# %% nbgrader={"grade_id": "test_snip_scores", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def scores_of(snip_scores, matrices, batches, names):
    from torch import nn

    layers = []
    for matrix in matrices:
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=matrix.dtype)
        layer.weight.data = matrix.clone()
        layers += [layer, nn.Tanh()]
    scores = snip_scores(nn.Sequential(*layers[:-1]), batches, names)
    return {name: score.detach() for name, score in scores.items()}


def gate_slopes(matrices: list[Tensor], batch: dict[str, Tensor], step: float = 1e-5) -> list[Tensor]:
    """|dL/dc| for a gate on every weight, by central differences."""

    def value(changed: list[Tensor]) -> float:
        x = batch["input"]
        for number, matrix in enumerate(changed):
            x = (torch.tanh(x) if number else x) @ matrix.T
        return nn.functional.cross_entropy(x, batch["labels"]).item()

    slopes = []
    for number, matrix in enumerate(matrices):
        slope = torch.zeros(matrix.numel(), dtype=torch.float64)
        for j in range(matrix.numel()):
            sides = []
            for gate in (1 + step, 1 - step):
                changed = [part.clone() for part in matrices]
                changed[number].view(-1)[j] *= gate
                sides.append(value(changed))
            slope[j] = abs(sides[0] - sides[1]) / (2 * step)
        slopes.append(slope.reshape(matrix.shape))
    return slopes


by_hand = torch.tensor([[2.0, -1.0], [4.0, -2.0]], dtype=torch.float64)
example = {"input": torch.tensor([[1.0, 2.0]], dtype=torch.float64), "labels": torch.tensor([0])}
found = scores_of(snip_scores, [by_hand], [example], ["0.weight"])
checks.assert_close(
    found["0.weight"],
    [[1 / 6, 1 / 6], [1 / 3, 1 / 3]],
    "scores by hand",
    atol=1e-7,
    hint="|weight times gradient|, divided by its sum: 1, 1, 2, 2 over 6",
)
torch.manual_seed(1)
matrices = [torch.randn(3, 4, dtype=torch.float64)]
batch = {"input": torch.randn(9, 4, dtype=torch.float64), "labels": torch.arange(9) % 3}
slopes = gate_slopes(matrices, batch)
checks.assert_close(
    scores_of(snip_scores, matrices, [batch], ["0.weight"])["0.weight"],
    slopes[0] / slopes[0].sum(),
    "scores against the slope of a gate, one layer",
    atol=1e-8,
    hint="a gate c multiplies the weight: dL/dc = w * dL/dw",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("snip_scores")
for widths in ((6, 8, 3), (5, 7, 4, 3)):
    matrices = [
        torch.randn(outputs, inputs, generator=generator, dtype=torch.float64)
        for inputs, outputs in pairwise(widths)
    ]
    matrices[0] *= 3
    labels = torch.randint(0, 3, (40,), generator=generator)
    batch = {
        "input": torch.randn(40, widths[0], generator=generator, dtype=torch.float64),
        "labels": labels,
    }
    layers = [f"{2 * number}.weight" for number in range(len(matrices))]
    slopes = gate_slopes(matrices, batch)
    total = sum(slope.sum() for slope in slopes)
    for split in ([40], [20, 20], [25, 12, 3]):
        parts = {key: value.split(split) for key, value in batch.items()}
        batches = [{key: parts[key][number] for key in parts} for number in range(len(split))]
        found = scores_of(snip_scores, matrices, batches, layers)
        for name, slope in zip(layers, slopes, strict=True):
            checks.assert_close(
                found[name],
                slope / total,
                f"scores of {name} in {len(layers)} layers, rows in batches of {split}",
                atol=1e-8,
                hint="one sum over all layers; the mean gradient over all rows first, its absolute value once",
            )
    found = scores_of(snip_scores, matrices, [batch], layers[1:])
    checks.assert_equal(
        sorted(found),
        sorted(layers[1:]),
        "names of the scores",
        hint="a tensor for each name that was asked for",
    )
    checks.assert_close(
        sum(float(score.sum()) for score in found.values()),
        1.0,
        "sum of the scores of some of the layers",
        atol=1e-9,
        hint="the sum runs over the layers in names, no others",
    )
### END HIDDEN TESTS

# %% [markdown]
# ### Check: the model afterwards


# %% nbgrader={"grade_id": "test_snip_side_effects", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
@probe
def after_scoring(snip_scores, matrices, batches, training):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3, bias=False))
    for layer, matrix in zip((net[0], net[3]), matrices, strict=True):
        layer.weight.data = matrix.clone()
        layer.weight.grad = torch.full_like(matrix, 7.0)
    net.train(training)
    scores = snip_scores(net, batches, ["0.weight", "3.weight"])
    return {
        "scores": [scores[name].detach() for name in ("0.weight", "3.weight")],
        "graph": [scores[name].requires_grad for name in ("0.weight", "3.weight")],
        "dtype": str(scores["0.weight"].dtype),
        "mode": net.training,
        "weights": [net[0].weight.detach(), net[3].weight.detach()],
        "grads": [net[0].weight.grad, net[3].weight.grad],
    }


torch.manual_seed(2)
matrices = [torch.randn(8, 6), torch.randn(3, 8)]
batch = {"input": torch.randn(30, 6), "labels": torch.arange(30) % 3}
evidence = after_scoring(snip_scores, matrices, [batch], False)
for given, left in zip(matrices, evidence["weights"], strict=True):
    checks.assert_equal(left, given, "weights after scoring", hint="scoring must not change the model")
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("snip_side_effects")
matrices = [torch.randn(8, 6, generator=generator), torch.randn(3, 8, generator=generator)]
batch = {
    "input": torch.randn(30, 6, generator=generator),
    "labels": torch.randint(0, 3, (30,), generator=generator),
}
still, moving = (after_scoring(snip_scores, matrices, [batch], training) for training in (False, True))
for one, other in zip(still["scores"], moving["scores"], strict=True):
    checks.assert_close(
        other,
        one,
        "scores of a model in train mode",
        atol=1e-6,
        hint="dropout must be off while you score: call model.eval() first",
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
        ".grad after scoring",
        hint="backward() adds to .grad; use torch.autograd.grad",
    )
checks.assert_equal(moving["graph"], [False, False], "scores without a graph", hint="detach the weights")
checks.assert_equal(moving["dtype"], "torch.float32", "dtype", hint="the dtype of the parameter")
silent = after_scoring(snip_scores, [matrices[0], torch.zeros(3, 8)], [batch], False)
for score in silent["scores"]:
    checks.assert_equal(
        score,
        torch.zeros_like(score),
        "scores where every product is 0",
        hint="do not divide 0 by 0",
    )
checks.assert_raises(
    "ValueError",
    after_scoring,
    snip_scores,
    matrices,
    [],
    False,
    label="no batches",
    hint="nothing was shown",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the mask
#
# The threshold is one for the whole network, so a layer may keep all of its weights or none.

# %% nbgrader={"grade_id": "snip_mask", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.snip import snip_mask

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_snip_mask", "solution": false, "grade": true, "locked": true, "points": 3, "schema_version": 3, "task": false}
masks = snip_mask({"a": torch.tensor([[0.1, 0.4], [0.2, 0.3]])}, 0.5)
checks.assert_equal(
    masks["a"],
    [[0.0, 1.0], [0.0, 1.0]],
    "mask of four weights",
    hint="the largest scores stay: 1 for them, 0 else",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("snip_mask")
scores = {
    "a": torch.rand(7, 5, generator=generator),
    "b": 0.2 * torch.rand(4, 3, 2, generator=generator),
    "c": 1.0 + torch.rand(6, generator=generator),
}
flat = torch.cat([score.flatten() for score in scores.values()])
for sparsity in (0.0, 0.27, 0.615, 0.96, 1.0):
    removed = round(sparsity * 65)
    limit = flat.sort().values[removed - 1] if removed else -1.0
    masks = snip_mask(scores, sparsity)
    for name, score in scores.items():
        checks.assert_equal(
            masks[name],
            (score > limit).float(),
            f"mask of {name} at sparsity {sparsity}",
            hint="one threshold for all layers, round(sparsity * n) weights removed",
        )
checks.assert_equal(
    str(masks["a"].dtype), "torch.float32", "dtype of a mask", hint="zeros and ones, as float32"
)
even = {"a": torch.full((8, 8), 0.5), "b": torch.zeros(10)}
masks = snip_mask(even, 0.5)
checks.assert_equal(
    [int(masks["a"].sum()), int(masks["b"].sum())],
    [37, 0],
    "weights that stay where scores are equal",
    hint="exactly 37 of the 74 stay: a comparison with a threshold keeps or drops all equal scores",
)
for sparsity in (-0.1, 1.5):
    checks.assert_raises(
        "ValueError", snip_mask, even, sparsity, label=f"sparsity {sparsity}", hint="0 to 1 is possible"
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: several rounds
#
# A score says what one weight's gate does while all others are open. When 95 of 100 gates close at once, that is no longer the
# network that was asked. Iterative SNIP (de Jorge et al. 2020) closes them in rounds and asks again after each. With
# five rounds and 98%, each round leaves $0.02^{1/5} = 0.457$ of the weights: 457, 209, 96, 44 and 20 of 1,000.

# %% nbgrader={"grade_id": "iterative_snip", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.snip import iterative_snip

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_iterative_snip", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def found_in_rounds(iterative_snip, matrices, batches, names, sparsity, options):
    from torch import nn

    layers = []
    for matrix in matrices:
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False, dtype=matrix.dtype)
        layer.weight.data = matrix.clone()
        layers += [layer, nn.Tanh()]
    net = nn.Sequential(*layers[:-1])
    masks = iterative_snip(net, batches, names, sparsity, **options)
    return {"masks": masks, "weights": [layer.weight.detach() for layer in layers[::2]]}


example = {
    "input": torch.tensor([[1.0, 2.0]], dtype=torch.float64),
    "labels": torch.tensor([0]),
}
by_hand = torch.tensor([[2.0, -1.0], [4.0, -2.0]], dtype=torch.float64)
for rounds in (1, 2):
    evidence = found_in_rounds(iterative_snip, [by_hand], [example], ["0.weight"], 0.5, {"rounds": rounds})
    checks.assert_equal(
        evidence["masks"]["0.weight"],
        [[0.0, 0.0], [1.0, 1.0]],
        f"mask of the example by hand, rounds {rounds}",
        hint="the second row has the larger scores, in one round and in two",
    )
### BEGIN HIDDEN TESTS
from reference_impl.pruning.snip import iterative_snip as expected_rounds

generator = checks.hidden_generator("iterative_snip")
widths = (9, 12, 4)
matrices = [torch.randn(b, a, generator=generator, dtype=torch.float64) for a, b in pairwise(widths)]
net = nn.Sequential(nn.Linear(9, 12, bias=False), nn.Tanh(), nn.Linear(12, 4, bias=False)).double()
net[0].weight.data, net[2].weight.data = (matrix.clone() for matrix in matrices)
batches = [
    {
        "input": torch.randn(rows, 9, generator=generator, dtype=torch.float64),
        "labels": torch.randint(0, 4, (rows,), generator=generator),
    }
    for rows in (30, 17)
]
layers = ["0.weight", "2.weight"]
for sparsity, options in ((0.7, {"rounds": 1}), (0.9, {}), (0.8, {"rounds": 3}), (0.8, {"rounds": 12})):
    evidence = found_in_rounds(iterative_snip, matrices, batches, layers, sparsity, options)
    expected = expected_rounds(net, batches, layers, sparsity, **options)
    checks.assert_equal(
        sum(int(mask.sum()) for mask in evidence["masks"].values()),
        156 - round(sparsity * 156),
        f"weights that stay at sparsity {sparsity}, {options}",
        hint="the last round leaves n - round(sparsity * n) weights",
    )
    for name in layers:
        checks.assert_equal(
            evidence["masks"][name],
            expected[name],
            f"mask of {name} at sparsity {sparsity}, {options}",
            hint="each round scores the network that the round before has left and removes the same share of it",
        )
for number, kept in enumerate(evidence["weights"]):
    checks.assert_equal(kept, matrices[number], "weights of the model afterwards", hint="prune a copy")
### END HIDDEN TESTS

# %% [markdown]
# ## Training what is left
#
# PyTorch has a place for a mask. `prune.custom_from_mask` keeps the weight under the name `weight_orig`, stores the
# mask beside it and multiplies the two before every forward pass, so the gradient of a removed weight is 0 and an optimizer
# can not bring it back. `prune.remove` makes the zeros permanent.

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
# ### Check: SNIP after training
#
# The hidden part scores four fresh networks on fresh pictures, trains each under the mask of your scores, and measures
# them on the test pictures. Random masks reach 0.35 there on average.


# %% nbgrader={"grade_id": "test_snip_trained", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def scores_at_start(snip_scores, state, batch, names):
    from torch import nn

    network = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
    )
    network.load_state_dict(state)
    return snip_scores(network, [batch], names)


start = lenet(5)
found = scores_at_start(
    snip_scores, start.state_dict(), drawn(rows["train"], 64, torch.Generator().manual_seed(5)), NAMES
)
checks.assert_equal(
    [list(found[name].shape) for name in NAMES],
    [[300, 784], [100, 300], [10, 100]],
    "shapes of the scores of three matrices",
    hint="one score for each weight",
)
### BEGIN HIDDEN TESTS
from heldout import fashion as test_split

generator = checks.hidden_generator("snip_trained")
unseen = data.tensors(test_split())
unseen = {"input": unseen["pixel_values"], "labels": unseen["labels"]}
reached = []
for seed in torch.randint(100, 10_000, (4,), generator=generator).tolist():
    network = lenet(seed)
    found = scores_at_start(snip_scores, network.state_dict(), drawn(rows["train"], 512, generator), NAMES)
    flat = torch.cat([found[name].flatten() for name in NAMES])
    limit = flat.sort().values[round(SPARSITY * len(flat))]
    masks = {name: (found[name] >= limit).float() for name in NAMES}
    checks.assert_at_most(
        sum(float(mask.sum()) for mask in masks.values()) / len(flat),
        1 - SPARSITY + 1e-3,
        "share of weights that stay",
        hint="equal scores for many weights can not be ranked",
    )
    reached.append(evaluation.quality(trained(network, masks, rows["train"], seed), unseen)[1])
checks.assert_at_least(
    sum(reached) / 4,
    0.62,
    "mean accuracy of four networks pruned by SNIP",
    hint="|w dL/dw| at initialization, compared over all layers",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The next cells prune two networks at three sparsities: at random, by the size of the initial weights, by the
# gradient's size alone, by SNIP, and by SNIP in five rounds. All 30 are trained. Which of the five will do best? Where
# will chance fail?


# %%
def masks_of(network: nn.Module, batch: dict[str, Tensor], matrices: list[str], sparsity: float) -> dict:
    """A mask a kind; each maps names to masks."""
    weights = [network.get_parameter(name) for name in matrices]
    slopes = torch.autograd.grad(training.loss(network, batch), weights)
    table = zip(matrices, weights, slopes, strict=True)
    chance, size, slope = {}, {}, {}
    for name, weight, grad in table:
        chance[name], size[name], slope[name] = torch.rand(weight.shape), weight.detach().abs(), grad.abs()
    kinds = {"random": chance, "size": size, "gradient": slope}
    kinds["SNIP"] = snip_scores(network, [batch], matrices)
    masks = {kind: snip_mask(scores, sparsity) for kind, scores in kinds.items()}
    return masks | {"SNIP, five rounds": iterative_snip(network, [batch], matrices, sparsity)}


# %%
shares = (0.95, 0.98, 0.99)
curves: dict[str, list[float]] = {}
for sparsity in shares:
    reached: dict[str, list[float]] = {}
    for seed in range(2):
        batch = drawn(rows["train"], 512)
        for kind, masks in masks_of(lenet(seed), batch, NAMES, sparsity).items():
            network = trained(lenet(seed), masks, rows["train"], seed)
            reached.setdefault(kind, []).append(evaluation.quality(network, rows["validation"])[1])
    for kind, values in reached.items():
        curves.setdefault(kind, []).append(sum(values) / 2)
figure = plots.lines(
    [100 * (1 - sparsity) for sparsity in shares],
    curves,
    x_label="weights kept (%)",
    y_label="accuracy after training (share of rows)",
    alt="Accuracy after training over the share of weights kept: 5, 2 and 1%. The size of the initial weights "
    "and SNIP stay near 0.7 at 2%, SNIP in five rounds is lower, the gradient alone near 0.55, a random mask below 0.4.",
)
plots.show(figure)
dense = evaluation.quality(trained(lenet(0), {}, rows["train"], 0), rows["validation"])[1]
print(f"all weights {dense:.3f}")
for kind, values in curves.items():
    print(f"{kind:18s}", "  ".join(f"{value:.3f}" for value in values))

# %% [markdown]
# All 266,200 weights give 0.816. At 2% chance falls to 0.377 and the gradient alone to 0.548, because it also keeps weights near
# 0, which carry no signal; the product, SNIP, gives 0.712. It has learnt something from the data, and it does not
# beat the size of the initial weights, which saw no data at all: 0.718. That is the bar for every method of this kind. Nor do
# rounds pay here: 0.651. The paper that proposes them shows gains beyond 99%, on deeper networks.

# %% [markdown]
# ## Measure: a Transformer
#
# A Vision Transformer of three layers has six matrices in each: query, key, value and output of attention, then two of
# the MLP. Four of the masks at 95%, one seed, 60 steps.

# %%
untrained = zoo.build("vit", seed=0, num_hidden_layers=3)
matrices = [f"{name}.weight" for name in ops.weight_layers(untrained, skip=("classifier",))]
kinds = masks_of(untrained, drawn(pictures["train"], 512), matrices, 0.95)
del kinds["gradient"]
figure = plots.lines(
    list(range(1, 19)),
    {
        kind: [100 * kinds[kind][name].mean().item() for name in matrices]
        for kind in ("size", "SNIP", "SNIP, five rounds")
    },
    x_label="matrix, from first to last (six a layer)",
    y_label="weights kept (%)",
    alt="Share of weights kept in each of 18 matrices. The size keeps about 5% of all of them. SNIP keeps over 20% of "
    "the first layer's value and output matrices and near 1% or none of the query and key matrices of the second and "
    "third layer.",
)
plots.show(figure)
models = {"all weights": trained(copy.deepcopy(untrained), {}, pictures["train"], 0, steps=60)}
for kind, masks in kinds.items():
    models[kind] = trained(copy.deepcopy(untrained), masks, pictures["train"], 0, steps=60)
    empty = [name.split("layers.")[-1] for name, mask in masks.items() if mask.sum() == 0]
    print(f"{kind:18s} empty: {', '.join(empty) or 'none'}")
table = evaluation.report(models, pictures["validation"], latency_rows=1, repeats=1)
print(evaluation.show(table[["sparsity", "parameters", "accuracy", "recovery"]]))

# %% [markdown]
# The size keeps about 5% of every matrix: their initial weights all come from one distribution. SNIP keeps a fifth of
# matrices 3 and 4, the first layer's value and output, and about 1% of matrices 7, 8, 13 and 14, the
# queries and keys of the second and third layer. Before training attention is nearly even over all positions, and what
# enters its softmax hardly moves the loss. In five rounds the third layer loses all of its queries and keys: its attention
# is then the mean over all positions, and stays so.
#
# Here SNIP, 0.571, is ahead of the size, 0.492. That is one seed, and seeds differ by several points; the lab's README has means
# over three. The sparsity column says 91.9%, not 95%: the report counts all matrices of the model, the patch
# embedding and the classifier too.

# %% [markdown]
# ## What goes wrong
#
# - **The absolute value of each batch.** Scores then depend on the batch size, and with batches of one row they answer how much
#   the loss of single examples changes, not that of the data. Every check on a single batch passes.
# - **A model in train mode.** Dropout silences half of the units of one forward pass, and their weights get score 0.
# - **A mask that is applied once.** Without `custom_from_mask`, or a product after every step, the optimizer's momentum moves
#   the removed weights away from 0 and the network is dense again. The sparsity column of the report shows it.
# - **A whole matrix removed.** Where a layer has a residual connection the network survives it. Without one, it is
#   the end of the signal: notebook 04 measures where.

# %% [markdown]
# ## At full size
#
# The scores of one layer of the published BERT from two sentences. Where its weights or a GPU are missing, the cell says
# so in one line.

# %%
try:
    full = zoo.load("bert", profile="full")
    tokenizer = zoo.tokenizer("bert", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    device = next(full.parameters()).device
    rows = data.tensors(data.languages()["train"].select(range(2)), tokenizer=tokenizer)
    matrices = [f"{name}.weight" for name in ops.weight_layers(full, skip=("classifier", "pooler"))][:6]
    shares = snip_scores(full, [{key: value.to(device) for key, value in rows.items()}], matrices)
    for name in matrices:
        print(f"{name}: {shares[name].sum().item():.3f} of the sensitivity")

# %% [markdown]
# ## Further reading
#
# - [The chapter on pruning and sparsity](../../theory/3.2-Pruning_and_Sparsity.md): where the gate's slope comes from.
# - Lee et al. 2019 (arXiv 1810.02340): SNIP, with the ablation of its data and its architectures.
# - Frankle et al. 2021 (arXiv 2009.08576): shuffling a SNIP mask within each layer, or drawing new initial weights,
#   costs almost nothing. Read it before you believe that a mask found at initialization knows about single weights.
# - de Jorge et al. 2020 (arXiv 2006.09081): the rounds, and a variant in which removed weights may come back.
