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
# # SparseGPT, movement and collapse
#
# You prune a language model's layers column by column, score weights by where training moves them, and find
# masks for a deep network that leave a way through every layer.
#
# | | |
# |---|---|
# | You will be able to | write SparseGPT and check its loss, gather movement scores, and prune by synaptic flow without data |
# | Time | about 90 minutes |
# | Points | 26 of the lab's 100, all autograded |
# | You need | OBS for one weight (notebook 03); the Cholesky factorisation; global masks (notebook 01) |
# | Papers | Frantar and Alistarh 2023, SparseGPT (arXiv 2301.00774); Sanh et al. 2020, Movement Pruning (arXiv 2005.07683); Tanaka et al. 2020, SynFlow (arXiv 2006.05467) |

# %% [markdown] lang="zh-TW"
# # SparseGPT、移動分數與崩潰
#
# 你會逐欄修剪語言模型的層、依訓練把權重移向何處來評分，並為深層網路找出每一層都保有通路的遮罩。
#
# | | |
# |---|---|
# | 完成後你能 | 寫出 SparseGPT 並檢驗其損失、累積移動分數，並不用資料而以突觸流修剪網路 |
# | 時間 | 約 90 分鐘 |
# | 配分 | 本實驗 100 分中的 26 分，全部自動評分 |
# | 先備知識 | 單一權重的 OBS（筆記本 03）；Cholesky 分解；全域遮罩（筆記本 01） |
# | 論文 | Frantar and Alistarh 2023, SparseGPT (arXiv 2301.00774)；Sanh et al. 2020, Movement Pruning (arXiv 2005.07683)；Tanaka et al. 2020, SynFlow (arXiv 2006.05467) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
from collections.abc import Callable
from itertools import pairwise

import torch
from labkit import checks, data, evaluation, ops, plots, runtime, training, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn
from torch.nn.utils import prune

runtime.start(seed=374)
llama = zoo.load("llama").eval()
LAYERS = list(ops.linear_layers(llama, skip=("lm_head",)))
train = data.tensors(data.prose()["train"])["input_ids"]
calibration = [{"input_ids": train[torch.randperm(len(train))[:16]]}]
validation = {"input_ids": data.tensors(data.prose()["validation"])["input_ids"][:64]}


def curvature(inputs: Tensor) -> Tensor:
    """H = 2 XᵀX / n, float64 (in, in), of a layer's inputs (n, in)."""
    return 2 * inputs.double().T @ inputs.double() / len(inputs)


def narrow(seed: int, depth: int = 8, width: int = 32) -> nn.Sequential:
    """A deep, narrow ReLU network without biases, before training: 784 inputs, `depth` square layers, 10 outputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in ((784, width), *[(width, width)] * depth, (width, 10)):
            layers += [nn.Linear(inputs, outputs, bias=False), nn.ReLU()]
            nn.init.kaiming_normal_(layers[-2].weight)
    return nn.Sequential(*layers[:-1])


# %% [markdown]
# ## Why
#
# Half of the weights of the tiny Llama set to 0, the smallest of each layer, take its perplexity from 15.8 to 21.8 on the
# validation text. SparseGPT removes as many, reads 2,048 tokens of calibration text, trains nothing, and reaches 19.6.
# It is the same idea as in notebook 03, made cheap enough for a matrix of any size.
#
# The other two methods of this notebook answer questions that SparseGPT does not: what if the weights will still be
# trained, and what if a network is so deep and pruned so hard that a whole layer may run dry.

# %% [markdown]
# ## By hand: SparseGPT
#
# One row $w = (1, 0.9)$ and $H = \begin{pmatrix} 2 & 1 \\ 1 & 2 \end{pmatrix}$, as in notebook 03. One of two weights has to go.
#
# - Columns are worked on from left to right, and an error may only move columns to its right. If the first goes, the second moves
#   from 0.9 to 0.9 + 0.5 = 1.4, and the loss rises by 0.75.
# - If the second goes, nothing is to its right: the loss rises by 0.81. With OBS the first weight would move and the rise would
#   be 0.6075.
#
# SparseGPT removes the first, for 0.75. It pays 0.14 for the fixed order. What it buys: the order is the same
# for all rows, so one factorisation of $H^{-1}$ serves all of them, where OBS needs an inverse for each row's own set.

# %% [markdown]
# ## Formula: SparseGPT
#
# $$ \text{score}_{ij} = \left(\frac{w_{ij}}{U_{jj}}\right)^2, \qquad
# e = \frac{w_{ij}}{U_{jj}} \text{ where removed}, \qquad w_{ik} \leftarrow w_{ik} - e\, U_{jk} \quad (k > j) $$
#
# - $H = 2 X^\top X / n + \lambda I$: the second derivative of a row's squared output error, (in, in)
# - $U$: upper triangular, $H^{-1} = U^\top U$. $U_{jj}^2$ is the $j$-th entry of the inverse's diagonal once columns 1 to $j - 1$ are
#   fixed, so the score is OBS's, up to the factor ½
#
# (Frantar and Alistarh 2023, algorithm 1.) Scores change as columns are updated. So the mask of a block of
# columns is chosen when the work reaches it. A row's losses ½ e² add up to $\tfrac12\, d H d^\top$ of its change $d$.
#
# ## You write: SparseGPT
#
# <details><summary>Hint</summary>
# U from H in two calls: `torch.cholesky_inverse(torch.linalg.cholesky(H))` is the inverse,
# `torch.linalg.cholesky(..., upper=True)` its upper factor.
# </details>
#
# <details><summary>Hint for the block</summary>
# Start with the mask of a whole block, then walk over its columns. An update must not wake a weight that the mask of the
# same block has condemned: set it to 0 when its column comes, whatever it has become by then.
# </details>

# %% nbgrader={"grade_id": "sparsegpt_prune", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.sparsegpt import sparsegpt_prune

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_sparsegpt_prune", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe  # the hidden part calls it
def arguments_after(sparsegpt_prune, weight, matrix):
    sparsegpt_prune(weight, matrix, 0.5)
    return weight, matrix


def damped(matrix: Tensor, damping: float) -> Tensor:
    """H + λI, for inputs none of which is always 0."""
    return matrix + damping * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=torch.float64)


H = torch.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=torch.float64)
parts = sparsegpt_prune(torch.tensor([[1.0, 0.9]]), H, 0.5, damping=0.0)
checks.assert_close(
    parts["weight"],
    [[0.0, 1.4]],
    "row of the example by hand",
    atol=1e-6,
    hint="scores 1.5 and 1.62: the first goes and the second grows by 0.5",
)
checks.assert_close(
    parts["loss"], [0.75], "loss by hand", atol=1e-6, hint="½ e² with e = 1 / U_11 and U_11² = 2/3"
)
torch.manual_seed(5)
x, w = torch.randn(40, 6) @ torch.randn(6, 6), torch.randn(3, 6)
parts = sparsegpt_prune(w, curvature(x), 0.5)
step = parts["weight"] - w.double()
checks.assert_close(
    parts["loss"],
    ((step @ damped(curvature(x), 0.01)) * step).sum(1) / 2,
    "loss of six columns against its formula",
    rtol=1e-6,
    hint="½ d (H + λI) d^T: λ is damping times the mean diagonal, and every later column gets its update",
)
### BEGIN HIDDEN TESTS
from reference_impl.pruning.sparsegpt import sparsegpt_prune as expected_prune
from reference_impl.quantization.hidden_inputs_groups import correlated_layer

generator = checks.hidden_generator("sparsegpt")
for columns, sparsity, options in (
    (24, 0.5, {}),
    (40, 0.7, {"block_size": 16}),
    (48, 0.35, {"block_size": 7, "damping": 0.1}),
    (150, 0.5, {}),
):
    weight, inputs = correlated_layer(columns, 400, generator, outputs=7)
    matrix = curvature(inputs)
    parts = sparsegpt_prune(weight, matrix, sparsity, **options)
    expected = expected_prune(weight, matrix, sparsity, **options)
    step = parts["weight"].double() - weight.double()
    whole = damped(matrix, options.get("damping", 0.01))
    checks.assert_close(
        parts["loss"],
        ((step @ whole) * step).sum(1) / 2,
        f"loss against its formula, {columns} columns, sparsity {sparsity}, {options}",
        rtol=1e-6,
        hint="½ d (H + λI) d^T: at the end of a block all later columns get their update, with the right sign",
    )
    size = options.get("block_size", 64)
    wanted = [round(sparsity * 7 * len(range(columns)[a : a + size])) for a in range(0, columns, size)]
    checks.assert_equal(
        [int((~block).sum()) for block in parts["mask"].split(size, dim=1)],
        wanted,
        f"weights removed in each block, {columns} columns, sparsity {sparsity}, {options}",
        hint="round(sparsity * number) of each block, over all of its rows together",
    )
    checks.assert_equal(
        parts["mask"],
        expected["mask"],
        f"mask, {columns} columns, sparsity {sparsity}, {options}",
        hint="(w / U_jj)² of the weights as they are when the work reaches the block; the smallest go",
    )
    checks.assert_true(
        bool((parts["weight"][~parts["mask"]] == 0).all()),
        f"exact zeros, {columns} columns, sparsity {sparsity}, {options}",
        hint="set a removed weight to 0 when its column comes",
    )
    checks.assert_close(
        parts["weight"],
        expected["weight"],
        f"weight, {columns} columns, sparsity {sparsity}, {options}",
        atol=1e-7,
        hint="compensate every error with row j of U",
    )
    best = weight.double().clone()
    for row, kept in enumerate(parts["mask"]):
        gone = ~kept
        best[row, gone] = 0
        change = torch.linalg.solve(whole[kept][:, kept], whole[kept][:, gone] @ weight[row, gone].double())
        best[row, kept] += change
    least = ((best - weight.double()) @ whole * (best - weight.double())).sum() / 2
    checks.assert_at_least(
        float(parts["loss"].sum() / least),
        1 - 1e-9,
        f"loss over that of least squares on the same mask, {columns} columns, sparsity {sparsity}, {options}",
        hint="no weights on that mask can do better than least squares: the loss is counted wrongly",
    )
weight = torch.randn(5, 20, generator=generator)
diagonal = torch.diag(0.5 + torch.rand(20, generator=generator).double())
parts = sparsegpt_prune(weight, diagonal, 0.4, damping=0.0)
checks.assert_close(
    parts["weight"],
    weight.double() * parts["mask"],
    "weights that stay for independent inputs",
    atol=1e-12,
    hint="without correlation there is nothing to make up for",
)
weight, inputs = correlated_layer(16, 200, generator, outputs=4)
inputs[:, [3, 11]] = 0.0
parts = sparsegpt_prune(weight, curvature(inputs), 0.25)
checks.assert_close(
    parts["weight"][:, [3, 11]],
    torch.zeros(4, 2),
    "weights of inputs that are always 0",
    atol=1e-12,
    hint="set such columns to 0 and their entry of H to 1 first",
)
for kept, given in zip(
    arguments_after(sparsegpt_prune, weight, matrix[:16, :16]), (weight, matrix[:16, :16]), strict=True
):
    checks.assert_equal(kept, given, "arguments after the call", hint="work on copies")
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# For each of the 28 layers the next cell removes half of the weights and divides the squared error of the outputs on fresh text by
# that of removing the smallest weights. Three candidates share SparseGPT's mask: the old weights under it, SparseGPT's weights, and the
# best weights on that mask, by least squares for each row. Which of the two gaps will be wider, from the
# first to the second or from the second to the third?


# %%
def smallest_removed(weight: Tensor, sparsity: float) -> Tensor:
    """The weight with its smallest entries set to 0, by PyTorch."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    prune.l1_unstructured(layer, "weight", amount=sparsity)
    return layer.weight.detach()


def least_squares(weight: Tensor, matrix: Tensor, mask: Tensor) -> Tensor:
    """For each row the best weights on its mask: the slope of the damped output error is 0 where they stay."""
    whole = matrix + 0.01 * matrix.diagonal().mean() * torch.eye(len(matrix), dtype=matrix.dtype)
    new = weight.double() * mask
    for row, kept in enumerate(mask):
        pull = whole[kept][:, ~kept] @ weight[row, ~kept].double()
        new[row, kept] += torch.linalg.solve(whole[kept][:, kept], pull)
    return new


# %%
seen, fresh = (ops.layer_inputs(llama, LAYERS, batches) for batches in (calibration, [validation]))
ratios: dict[str, list[float]] = {
    "same mask, old weights": [],
    "SparseGPT": [],
    "same mask, best weights": [],
}
for name in LAYERS:
    weight = llama.get_submodule(name).weight.detach()
    matrix = curvature(seen[name])
    parts = sparsegpt_prune(weight, matrix, 0.5)
    best = least_squares(weight, matrix, parts["mask"])
    candidates = (weight * parts["mask"], parts["weight"], best, smallest_removed(weight, 0.5))
    errors = [(fresh[name] @ (new.float() - weight).T).square().sum().item() for new in candidates]
    for values, error in zip(ratios.values(), errors, strict=False):
        values.append(error / errors[3])
figure = plots.lines(
    list(range(1, 29)),
    ratios,
    x_label="layer, from first to last",
    y_label="output error over smallest removed",
    alt="Squared output error of 28 layers over that of removing the smallest weights. SparseGPT's mask with the old "
    "weights lies near 0.9, SparseGPT near 0.6, the best weights on the same mask near 0.5, in nearly every layer.",
)
plots.show(figure)
for kind, values in ratios.items():
    print(f"{kind:24s} mean {sum(values) / 28:.2f}, from {min(values):.2f} to {max(values):.2f}")

# %% [markdown]
# The mask alone is worth little: 0.92 of the error. The update brings it to 0.63, and the best weights on the same mask to 0.48, so
# the fixed order gives away about a third of what compensation can gain. Least squares solves a system for each row; SparseGPT factors one
# matrix for all rows.

# %% [markdown]
# ### Check: the layers of the model

# %% nbgrader={"grade_id": "test_sparsegpt_layers", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
torch.manual_seed(4)
common = torch.randn(1000, 8) @ torch.randn(8, 64)  # inputs that move together
inputs, weight = 0.5 * torch.randn(1000, 64) + common, torch.randn(32, 64)
new = sparsegpt_prune(weight, curvature(inputs), 0.5)["weight"].float()
size = weight.abs().flatten().sort().values[1023]
errors = [
    (inputs @ (other - weight).T).square().sum().item() for other in (new, weight * (weight.abs() > size))
]
checks.assert_at_most(
    errors[0] / errors[1],
    0.75,
    "output error over that of the smallest weights, 64 inputs",
    hint="propagate each error with U",
)
### BEGIN HIDDEN TESTS
from heldout import prose as test_split

generator = checks.hidden_generator("sparsegpt_layers")
texts = []
for tokens, count in ((train, 16), (data.tensors(test_split())["input_ids"], 32)):
    texts.append([{"input_ids": tokens[torch.randperm(len(tokens), generator=generator)[:count]]}])
learn, judge = (ops.layer_inputs(llama, LAYERS, text) for text in texts)
found, zeros = [], []
for name in LAYERS:
    weight = llama.get_submodule(name).weight.detach()
    new = sparsegpt_prune(weight, curvature(learn[name]), 0.5)["weight"].float()
    zeros.append((new == 0).double().mean().item())
    limit = weight.abs().flatten().sort().values[weight.numel() // 2 - 1]
    pair = [
        (judge[name] @ (other - weight).T).square().sum().item()
        for other in (new, weight * (weight.abs() > limit))
    ]
    found.append(pair[0] / pair[1])
checks.assert_at_least(
    min(zeros),
    0.5 - 1e-3,
    "share of zeros in each of 28 layers",
    hint="half of the weights of each block are exactly 0",
)
checks.assert_at_most(
    sum(found) / 28,
    0.75,
    "mean output error of 28 layers over that of the smallest weights",
    hint="the mask alone gives about 0.93: the update of the weights that stay does the rest",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Measure: the language model
#
# Layers are pruned in the order in which they run, and each sees inputs that come out of layers already pruned.

# %%
STEPS = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


def pruned_in_order(prune_layer: Callable[[Tensor, Tensor], Tensor]) -> nn.Module:
    """A copy whose linear layers were replaced one after the other by `prune_layer(weight, inputs)`."""
    changed = copy.deepcopy(llama)
    for number in range(len(changed.model.layers)):
        for group in STEPS:
            names = [f"model.layers.{number}.{name}" for name in group]
            inputs = ops.layer_inputs(changed, names[:1], calibration)[names[0]]  # the group shares its input
            for name in names:
                layer = changed.get_submodule(name)
                layer.weight.data = prune_layer(layer.weight.detach(), inputs).float()
    return changed


table = {"all weights": llama}
for share in (0.5, 0.7):
    masked: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "smallest": lambda w, _, share=share: smallest_removed(w, share),
        "SparseGPT, mask only": lambda w, x, share=share: w * sparsegpt_prune(w, curvature(x), share)["mask"],
        "SparseGPT": lambda w, x, share=share: sparsegpt_prune(w, curvature(x), share)["weight"],
    }
    table |= {f"{kind}, {share:.0%}": pruned_in_order(act) for kind, act in masked.items()}
frame = evaluation.report(table, validation, latency_rows=1, repeats=1)
print(evaluation.show(frame[["sparsity", "bytes", "perplexity", "recovery"]]))

# %% [markdown]
# At 50% SparseGPT halves neither error nor loss, but it closes about a third of the gap: 21.8 becomes 19.6, float32 has 15.8. The mask
# without the update has 21.5. At 70% no method leaves a usable model: 61 and 45.5. The literature removes 50% of models with billions of weights at
# almost no cost; this one has 853,120 and few to spare.
#
# The bytes do not change. Zeros in a dense matrix are stored like any other number; Lab 3.5 stores them sparsely.

# %% [markdown]
# ## You write: movement
#
# So far a weight's size now, or the loss now, decided. Fine-tuning moves weights, and where they go says what the new task wants. Two
# weights over two steps at learning rate 0.1:
#
# - 0.8, 0.6, 0.5: the gradients were 2 and 1, and $S = -(0.8 \cdot 2 + 0.6 \cdot 1) = -2.2$.
# - 0.1, 0.2, 0.3: the gradients were −1 and −1, and $S = 0.1 + 0.2 = 0.3$.
#
# Size keeps the first, movement the second (Sanh et al. 2020, equation 2 and section 4):
#
# $$ S = -\sum_t w_t \odot \frac{\partial L_t}{\partial w_t} $$
#
# - $w_t$: the weights before step $t$; $L_t$: the loss of that step's batch
#
# <details><summary>Hint</summary>
# In-place updates of a leaf that requires a gradient belong under `torch.no_grad()`.
# </details>

# %% nbgrader={"grade_id": "movement_scores", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.movement import movement_scores

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_movement_scores", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def moved(movement_scores, state, batches, names, options, mode=False):
    import torch
    from torch import nn

    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3)).double()
    net.load_state_dict(state)
    net.train(mode)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    torch.manual_seed(0)
    scores = movement_scores(net, batches, names, **options)
    return {
        "scores": {name: score.detach() for name, score in scores.items()},
        "graph": [score.requires_grad for score in scores.values()],
        "mode": net.training,
        "state": {key: value.clone() for key, value in net.state_dict().items()},
        "grads": [parameter.grad for parameter in net.parameters()],
    }


def by_steps(
    state: dict[str, Tensor], batches: list[dict[str, Tensor]], names: list[str], rate: float
) -> dict[str, Tensor]:
    """The scores, with the network's formula written out."""
    values = {key: value.clone().requires_grad_(key in names) for key, value in state.items()}
    total = {name: torch.zeros_like(values[name]) for name in names}
    for batch in batches:
        inner = torch.tanh(batch["input"] @ values["0.weight"].T + values["0.bias"])
        logits = inner @ values["3.weight"].T + values["3.bias"]
        slopes = torch.autograd.grad(
            nn.functional.cross_entropy(logits, batch["labels"]), [values[name] for name in names]
        )
        for name, slope in zip(names, slopes, strict=True):
            total[name] = total[name] - values[name].detach() * slope
            values[name] = (values[name].detach() - rate * slope).requires_grad_()
    return total


torch.manual_seed(6)
state = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.5), nn.Linear(7, 3)).double().state_dict()
batch = {"input": torch.randn(12, 5, dtype=torch.float64), "labels": torch.arange(12) % 3}
evidence = moved(movement_scores, state, [batch], ["3.weight"], {})
checks.assert_close(
    evidence["scores"]["3.weight"],
    by_steps(state, [batch], ["3.weight"], 0.01)["3.weight"],
    "scores of one step",
    atol=1e-9,
    hint="-w * dL/dw: above 0 where the step makes the weight's size grow",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("movement")
state = {key: torch.randn(value.shape, generator=generator).double() for key, value in state.items()}
batches = [
    {
        "input": torch.randn(count, 5, generator=generator).double(),
        "labels": torch.randint(0, 3, (count,), generator=generator),
    }
    for count in (20, 9, 14, 20)
]
both = ["0.weight", "3.weight"]
for names, options in ((both, {"learning_rate": 0.5}), (["0.weight"], {"learning_rate": 2.0}), (both, {})):
    wanted = by_steps(state, batches, names, options.get("learning_rate", 0.01))
    for mode in (False, True):
        evidence = moved(movement_scores, state, batches, names, options, mode)
        for name in names:
            checks.assert_close(
                evidence["scores"][name],
                wanted[name],
                f"scores of {name} over four steps, {options}, train mode {mode}",
                atol=1e-8,
                hint="w from before each step, gradients without dropout, plain steps of the weights in names only",
            )
        checks.assert_equal(evidence["mode"], mode, "mode of the model afterwards", hint="work on a copy")
for key, value in state.items():
    checks.assert_equal(evidence["state"][key], value, f"{key} afterwards", hint="train a copy")
for grad in evidence["grads"]:
    checks.assert_equal(grad, torch.full_like(grad, 7.0), ".grad afterwards", hint="use torch.autograd.grad")
checks.assert_equal(evidence["graph"], [False, False], "scores without a graph", hint="detach them")
none = moved(movement_scores, state, [], ["0.weight"], {})
checks.assert_equal(
    none["scores"]["0.weight"], torch.zeros(7, 5), "scores without steps", hint="a sum over no steps is 0"
)
### END HIDDEN TESTS

# %% [markdown]
# ### A new task
#
# The `encoder` knows pictures of clothing that stand upright. The new task shows them turned by a quarter. 80% of the weights go, by
# size or by movement over 60 steps on turned pictures; what is left is trained for 60 steps.

# %%
encoder = zoo.load("encoder")
turned = {split: data.tensors(data.fashion()[split]) for split in ("train", "validation")}
for part in turned.values():
    part["pixel_values"] = part["pixel_values"].rot90(1, (2, 3)).contiguous()
matrices = [f"{name}.weight" for name in ops.linear_layers(encoder, skip=("classifier", "embed"))]
stream = training.batches(turned["train"], 64, seed=1)
steps = [next(stream) for _ in range(60)]
by_movement = movement_scores(encoder, steps, matrices, learning_rate=0.1)
rankings = {
    "random": {name: torch.rand_like(score) for name, score in by_movement.items()},
    "size": {name: encoder.get_parameter(name).detach().abs() for name in matrices},
    "movement": by_movement,
}
print(f"before any training: {evaluation.quality(encoder, turned['validation'])[1]:.3f}")
for kind, ranking in rankings.items():
    network = copy.deepcopy(encoder)
    order = torch.cat([score.flatten() for score in ranking.values()]).argsort().argsort()
    keep = (order >= round(0.8 * len(order))).float().split([score.numel() for score in ranking.values()])
    for name, part in zip(matrices, keep, strict=True):
        layer = network.get_submodule(name.removesuffix(".weight"))
        prune.custom_from_mask(layer, "weight", part.reshape(layer.weight.shape))
    training.fit(network, turned["train"], steps=60, learning_rate=2e-3, seed=2)
    print(f"{kind:9s} {evaluation.quality(network, turned['validation'])[1]:.3f}")

# %% [markdown]
# Chance 0.579, size 0.691, movement 0.700. One point on 1,000 pictures is no difference: here movement does as well as size and no
# better. Sanh et al. report its gains on large pretrained models at 85% and more, with the mask learnt over several epochs.

# %% [markdown]
# ## Synaptic flow
#
# A network of one input, two hidden units and one output: weights 2 and 0.1 into the units, 0.5 and 3 out of them. Remove half by
# size: 0.1 and 0.5 go. What stays is 2 into the first unit and 3 out of the second, and no path leads from input to output.
#
# SynFlow scores a weight by all paths through it. With an input of 1 the output is
# $R = 2 \cdot 0.5 + 0.1 \cdot 3 = 1.3$, and $|w|\, \partial R / \partial |w|$ is 1.0 and 0.3 for the first layer, 1.0 and 0.3 for the second. Half of
# the weights are the first path. Both layers sum to $R$: what flows in flows out. So a layer with few weights has
# large scores and is pruned last (Tanaka et al. 2020, equation 2 and theorem 1).
#
# $$ R = \mathbf{1}^\top \Big( \prod_\ell |W_\ell| \Big) \mathbf{1}, \qquad S = |w| \odot \frac{\partial R}{\partial |w|} $$
#
# - $W_\ell$: the matrix of layer $\ell$; $\mathbf{1}$: ones in place of an input. There is no data and no loss
#
# In one shot a layer can still run dry: scores are those of the full network. In 100 rounds, with up to 5% fewer weights after each, the
# scores follow what is left.

# %% nbgrader={"grade_id": "synflow_scores", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.synflow import synflow_scores

# %% [markdown]
# ### Check: what flows in flows out


# %% nbgrader={"grade_id": "test_synflow_scores", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def flows(synflow_scores, matrices, biases, example, names, mode=False):
    import torch
    from torch import nn

    layers = []
    for matrix, bias in zip(matrices, biases, strict=True):
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=bias is not None)
        layer.weight.data = matrix.clone()
        if bias is not None:
            layer.bias.data = bias.clone()
        layers += [layer, nn.ReLU(), nn.Dropout(0.5)]
    net = nn.Sequential(*layers[:-2]).train(mode)
    torch.manual_seed(0)
    scores = synflow_scores(net, example, names)
    return {
        "scores": {name: score.detach() for name, score in scores.items()},
        "dtypes": [str(score.dtype) for score in scores.values()],
        "graph": [score.requires_grad for score in scores.values()],
        "mode": net.training,
        "weights": [layer.weight.detach() for layer in layers[::3]],
    }


matrices = [torch.tensor([[2.0], [0.1]]), torch.tensor([[0.5, -3.0]])]
evidence = flows(synflow_scores, matrices, [None, None], torch.ones(1, 1), ["0.weight", "3.weight"])
checks.assert_close(
    evidence["scores"]["0.weight"],
    [[1.0], [0.3]],
    "scores of the first layer by hand",
    atol=1e-6,
    hint="|w| times the slope of R in |w|; -3 counts as 3",
)
checks.assert_close(
    evidence["scores"]["3.weight"],
    [[1.0, 0.3]],
    "scores of the second layer by hand",
    atol=1e-6,
    hint="as above",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("synflow_scores")
for widths in ((6, 9, 4), (5, 8, 8, 7, 3), (12, 6, 6, 6, 6, 2)):
    matrices = [torch.randn(b, a, generator=generator) for a, b in pairwise(widths)]
    names = [f"{3 * number}.weight" for number in range(len(matrices))]
    example = torch.randn(4, widths[0], generator=generator)
    for mode in (False, True):
        evidence = flows(synflow_scores, matrices, [None] * len(matrices), example, names, mode)
        product = torch.ones(widths[0], 1, dtype=torch.float64)
        for matrix in matrices:
            product = matrix.double().abs() @ product
        for name in names:
            checks.assert_close(
                float(evidence["scores"][name].sum()),
                float(product.sum()),
                f"sum of {name} of {len(names)} layers, train mode {mode}",
                rtol=1e-9,
                hint="R of one row of ones through |W|, in float64 and without dropout: each layer sums to R",
            )
        checks.assert_equal(evidence["mode"], mode, "mode of the model afterwards", hint="work on a copy")
    ahead = [torch.ones(widths[0], dtype=torch.float64)]
    for matrix in matrices:
        ahead.append(matrix.double().abs() @ ahead[-1])
    behind = torch.ones(widths[-1], dtype=torch.float64)
    for number in reversed(range(len(matrices))):
        size = matrices[number].double().abs()
        checks.assert_close(
            evidence["scores"][names[number]],
            behind[:, None] * size * ahead[number][None, :],
            f"scores of {names[number]} of {len(names)} layers",
            rtol=1e-9,
            hint="what arrives at a weight, times its size, times what leads on from it",
        )
        behind = size.T @ behind
    for kept, given in zip(evidence["weights"], matrices, strict=True):
        checks.assert_equal(kept, given, "weights afterwards", hint="take absolute values in a copy")
checks.assert_equal(
    [evidence["dtypes"][0], evidence["graph"][0]],
    ["torch.float64", False],
    "dtype and graph",
    hint="float64, because R is a product over all layers; detached",
)
matrices = [torch.randn(4, 3, generator=generator), torch.randn(2, 4, generator=generator)]
biases = [torch.randn(4, generator=generator), None]
evidence = flows(synflow_scores, matrices, biases, torch.ones(1, 3), ["3.weight"])
inner = matrices[0].double().abs().sum(1) + biases[0].double().abs()
checks.assert_close(
    evidence["scores"]["3.weight"],
    matrices[1].double().abs() * inner,
    "scores behind a layer with a bias",
    rtol=1e-9,
    hint="biases are parameters too: absolute values of all parameters",
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the rounds
#
# <details><summary>Hint</summary>
# A removed weight has score 0, and so has a weight that is left but is cut off. Only one of the two may count as removed already.
# </details>

# %% nbgrader={"grade_id": "synflow_mask", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.pruning.synflow import synflow_mask

# %% [markdown]
# ### Check: no layer runs dry


# %% nbgrader={"grade_id": "test_synflow_mask", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
@probe
def flow_masks(synflow_mask, matrices, sparsity, options):
    import torch
    from torch import nn

    layers = []
    for matrix in matrices:
        layer = nn.Linear(matrix.shape[1], matrix.shape[0], bias=False)
        layer.weight.data = matrix.clone()
        layers += [layer, nn.ReLU()]
    names = [f"{2 * number}.weight" for number in range(len(matrices))]
    masks = synflow_mask(
        nn.Sequential(*layers[:-1]), torch.zeros(1, matrices[0].shape[1]), names, sparsity, **options
    )
    return {
        "masks": [masks[name] for name in names],
        "weights": [layer.weight.detach() for layer in layers[::2]],
        "dtype": str(masks[names[0]].dtype),
    }


matrices = [torch.tensor([[2.0], [0.1]]), torch.tensor([[0.5, -3.0]])]
evidence = flow_masks(synflow_mask, matrices, 0.5, {"rounds": 1})
checks.assert_equal(
    [mask.flatten().tolist() for mask in evidence["masks"]],
    [[1.0, 0.0], [1.0, 0.0]],
    "masks of the example by hand, one round",
    hint="the path over the first unit carries 1.0 of the 1.3",
)
### BEGIN HIDDEN TESTS
from reference_impl.pruning.synflow import synflow_mask as expected_masks

generator = checks.hidden_generator("synflow_mask")


def total_flow(parts: list[Tensor]) -> float:
    row = torch.ones(parts[0].shape[1], dtype=torch.float64)
    for part in parts:
        row = part.double().abs() @ row
    return float(row.sum())


for widths, sparsity, options in (
    ((30, 16, 16, 16, 16, 5), 0.9, {}),
    ((20, 12, 12, 6), 0.6, {"rounds": 10}),
    ((20, 12, 12, 6), 0.8, {"rounds": 3}),
    ((60, 20, 20, 20, 20, 20, 20, 10), 0.95, {}),
    ((784, *[32] * 9, 10), 0.99, {}),
):
    matrices = [torch.randn(b, a, generator=generator) * (2 / a) ** 0.5 for a, b in pairwise(widths)]
    evidence = flow_masks(synflow_mask, matrices, sparsity, options)
    weights = sum(matrix.numel() for matrix in matrices)
    checks.assert_equal(
        sum(int(mask.sum()) for mask in evidence["masks"]),
        weights - round(sparsity * weights),
        f"weights that stay, {len(matrices)} layers, sparsity {sparsity}, {options}",
        hint="the last round leaves n - round(sparsity * n) weights: what is removed stays so and counts",
    )
    layers = [nn.Linear(1, 1, bias=False) for _ in matrices]
    for layer, matrix in zip(layers, matrices, strict=True):
        layer.weight.data = matrix.clone()
    net = nn.Sequential(*[part for layer in layers for part in (layer, nn.ReLU())][:-1])
    wanted = expected_masks(
        net, torch.zeros(1, widths[0]), [f"{2 * i}.weight" for i in range(len(matrices))], sparsity, **options
    )
    left = [
        total_flow([m * mask for m, mask in zip(matrices, masks, strict=True)])
        for masks in (evidence["masks"], list(wanted.values()))
    ]
    checks.assert_close(
        left[0] / left[1],
        1.0,
        f"flow that is left over the right one, {len(matrices)} layers, sparsity {sparsity}, {options}",
        atol=1e-6,
        hint="score what the round before has left; each round keeps the same share of it, the largest scores",
    )
    if "rounds" not in options:
        checks.assert_at_least(
            min(float(mask.sum()) for mask in evidence["masks"]),
            1.0,
            f"weights in the emptiest of {len(matrices)} layers at sparsity {sparsity}",
            hint="100 rounds by default: in one shot a layer runs dry",
        )
for given, kept in zip(matrices, evidence["weights"], strict=True):
    checks.assert_equal(kept, given, "weights afterwards", hint="prune a copy")
checks.assert_equal(evidence["dtype"], "torch.float32", "dtype of a mask", hint="zeros and ones, as float32")
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# A network of 8 hidden layers, 32 wide, without biases or residual connections has 33,600 weights, 25,088 of them in the first layer.
# From which sparsity on does each method cut it in two?

# %%
names = [f"{2 * number + 1}.weight" for number in range(10)]
fashion = {split: data.tensors(data.fashion()[split]) for split in ("train", "validation")}
rows = {split: {"input": part["pixel_values"], "labels": part["labels"]} for split, part in fashion.items()}
sample = {key: value[:256] for key, value in rows["train"].items()}
shares = (0.8, 0.9, 0.95, 0.99)
found: dict[str, list[float]] = {}
for sparsity in shares:
    net = narrow(0)
    sizes = {name: net.get_parameter(name).detach().abs() for name in names}
    pull = torch.autograd.grad(training.loss(net, sample), [net.get_parameter(name) for name in names])
    ranks = {
        "size": sizes,
        "SNIP": {name: sizes[name] * slope.abs() for name, slope in zip(names, pull, strict=True)},
    }
    masks = {"SynFlow, 1 round": synflow_mask(net, sample["input"], names, sparsity, rounds=1)}
    masks["SynFlow, 100 rounds"] = synflow_mask(net, sample["input"], names, sparsity)
    for kind, rank in ranks.items():
        limit = torch.cat([score.flatten() for score in rank.values()]).quantile(sparsity)
        masks[kind] = {name: (score > limit).float() for name, score in rank.items()}
    for kind, chosen in masks.items():
        pruned = narrow(0)
        for name, mask in chosen.items():
            prune.custom_from_mask(pruned.get_submodule(name.removesuffix(".weight")), "weight", mask)
        training.fit(pruned, rows["train"], steps=150, learning_rate=3e-3, seed=0)
        found.setdefault(kind, []).append(evaluation.quality(pruned, rows["validation"])[1])
        smallest = min(int(mask.sum()) for mask in chosen.values())
        print(
            f"{sparsity:.0%} {kind:20s} emptiest layer {smallest:5d} weights, accuracy {found[kind][-1]:.3f}"
        )
figure = plots.lines(
    [100 * share for share in shares],
    found,
    x_label="weights removed (%)",
    y_label="accuracy after training (share of rows)",
    alt="Accuracy after training over the share of weights removed. SynFlow in one round is at chance everywhere, the size of the "
    "weights from 90% on. SNIP and SynFlow in 100 rounds fall more slowly.",
)
plots.show(figure)

# %% [markdown]
# One round of SynFlow empties a layer at 80% already, and the network guesses, at 0.111. The size is at chance from 90% on, with a single weight
# left in one of the layers, SNIP at 99%. After 100 rounds no layer is empty at any of the four sparsities.
#
# A path is not yet a good network. At 80% SynFlow trains to 0.718 and SNIP to 0.661; at 95% both are near 0.23, and at 99% SynFlow's network, 24
# weights in its emptiest layer, does not learn in 150 steps. The check above therefore counts weights and flow and no accuracy.

# %% [markdown]
# ### A Transformer is no product of matrices
#
# Layers sum to the same $R$ because a ReLU passes a positive signal on as it is. A LayerNorm does not: it subtracts the mean and
# divides by the deviation, so making all weights larger changes nothing behind it.

# %%
plain = narrow(1, depth=3)
normed = copy.deepcopy(plain)
for place in (2, 4, 6):
    normed[place] = nn.Sequential(nn.LayerNorm(32), nn.ReLU())
for kind, net in (("ReLU", plain), ("LayerNorm and ReLU", normed)):
    sums = [score.sum().item() for score in synflow_scores(net, sample["input"], names[:5]).values()]
    print(f"{kind:20s}", "  ".join(f"{value:12.4g}" for value in sums))

# %% [markdown]
# The sums of the first network agree to the last digit shown. In the second hardly anything is left in the three layers in front of a norm: only the
# small constant in its denominator lets a little pass. To prune a Transformer this
# way, norms and softmax have to be bypassed while the flow is measured; a residual connection keeps a path open anyway.

# %% [markdown]
# ## What goes wrong
#
# - **No update.** SparseGPT's mask with the old weights: the mask is right at first sight, and most of the gain is gone.
# - **Scores in train mode.** Dropout silences half of the units, and their weights look useless.
# - **Weights from after the step** in the movement's product. The sum shifts by the learning rate times $g^2$, always downwards.
# - **SynFlow in one shot.** The first layer has three quarters of the weights and small scores for each, so it is the first to go.

# %% [markdown]
# ## At full size
#
# One layer of the published checkpoint, with its own inputs from two sentences. Where weights or a GPU are missing, the cell
# says so in one line.

# %%
try:
    full = zoo.load("llama", profile="full")
    tokenizer = zoo.tokenizer("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    name = "model.layers.0.self_attn.q_proj"
    ids = data.tensors(data.prose()["validation"].select(range(1)), tokenizer=tokenizer, limit=8)["input_ids"]
    device = next(full.parameters()).device
    inputs = ops.layer_inputs(full, [name], [{"input_ids": ids.to(device)}])[name].float().cpu()
    weight = full.get_submodule(name).weight.detach().float().cpu()
    parts = sparsegpt_prune(weight, curvature(inputs), 0.5)
    candidates = (parts["weight"].float(), weight * parts["mask"], smallest_removed(weight, 0.5))
    errors = [((new - weight) @ inputs.T).square().sum().item() for new in candidates]
    print(
        f"{name}: error over that of smallest removed {errors[0] / errors[2]:.3f}, mask only {errors[1] / errors[2]:.3f}"
    )

# %% [markdown]
# ## Further reading
#
# - [The chapter on pruning and sparsity](../../theory/3.2-Pruning_and_Sparsity.md): from OBS to SparseGPT, and where layers collapse.
# - Frantar and Alistarh 2023 (arXiv 2301.00774): 175 billion weights pruned in four hours, and 2 of 4 sparsity.
# - Sanh et al. 2020 (arXiv 2005.07683): where movement wins over size, and by how much, over sparsities.
# - Tanaka et al. 2020 (arXiv 2006.05467): conservation, collapse, and what the largest possible compression is.
