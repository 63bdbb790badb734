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
# # Hessian trace
#
# You predict from the curvature of the loss which layers suffer from quantization, before any of them is quantized.
#
# | | |
# |---|---|
# | You will be able to | multiply with a Hessian that you never form, estimate its trace with random signs, and score layers by HAWQ-V2 |
# | Time | about 75 minutes |
# | Points | 24 of the lab's 100 |
# | You need | gradients with `torch.autograd.grad`; what a group-wise grid of b bits is; mean and standard error |
# | Papers | Dong et al. 2020, HAWQ-V2 (arXiv 1911.03852); Pearlmutter 1994, Fast Exact Multiplication by the Hessian; Hutchinson 1990; Yao et al. 2020, PyHessian (arXiv 1912.07145) |

# %% [markdown] lang="zh-TW"
# # Hessian 跡
#
# 你會在還沒量化任何一層之前，就由損失函數的曲率預測哪些層會受量化之害。
#
# | | |
# |---|---|
# | 完成後你能 | 不寫出 Hessian 就與它相乘、用隨機正負號估計它的跡，並以 HAWQ-V2 為各層評分 |
# | 時間 | 約 75 分鐘 |
# | 配分 | 本實驗 100 分中的 24 分 |
# | 先備知識 | 以 `torch.autograd.grad` 求梯度；分組 b 位元格點；平均數與標準誤 |
# | 論文 | Dong et al. 2020, HAWQ-V2 (arXiv 1911.03852)；Pearlmutter 1994, Fast Exact Multiplication by the Hessian；Hutchinson 1990；Yao et al. 2020, PyHessian (arXiv 1912.07145) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from labkit import checks, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import probe  # used by the checks
from torch import Tensor, nn

runtime.start(seed=342)
model = zoo.load("llama", attention="eager").eval()  # the fused attention has no second derivative
linears = ops.linear_layers(model, skip=("lm_head",))
train = data.tensors(data.prose()["train"].select(range(8)))["input_ids"]
GROUP = 64


def on_grid(weight: Tensor, bits: int) -> Tensor:
    """Round to the nearest of 2^bits levels; every 64 weights of a row have a scale and a zero-point."""
    return ops.snap_groups(weight.detach(), bits, GROUP)


def next_token_loss(network: nn.Module, tokens: Tensor) -> Tensor:
    """Mean cross-entropy of the next token, in nats, as a scalar with a graph."""
    logits = network(input_ids=tokens).logits
    return nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


# %% [markdown]
# ## Why
#
# To learn how much each of the 28 layers of the tiny Llama suffers at each of five widths, you can quantize one layer
# at a time and run the model 140 times; on sixteen blocks of text this takes 9 seconds of a core. For a model of a
# thousand times the size it takes a thousand times as long, and once more for every new grid. The curvature of the
# loss answers for all layers and all widths together: eight random vectors through the model, 3 seconds, and the order of the
# layers comes out with a rank correlation of about 0.96 with what those 140 runs say.

# %% [markdown]
# ## By hand
#
# A loss of two weights, $L = 3 w_1^2 + 0.5\, w_2^2 + 2 w_1 w_2$, is at its minimum at 0. Rounding moves the weights by
# $\delta = (0.1, -0.2)$:
#
# - the loss rises by 3 · 0.01 + 0.5 · 0.04 + 2 · 0.1 · (−0.2) = 0.03 + 0.02 − 0.04 = 0.01.
# - The second derivatives are $H = \begin{pmatrix} 6 & 2 \\ 2 & 1 \end{pmatrix}$, and $\tfrac12 \delta^\top H \delta$ is the same 0.01.
# - The trace of $H$ is 6 + 1 = 7. Draw signs $v = (1, -1)$: $H v = (4, 1)$ and $v^\top H v = 4 - 1 = 3$. Draw
#   $v = (1, 1)$: $H v = (8, 3)$ and $v^\top H v = 11$. The mean of the two is 7.
#
# The entries off the diagonal come with a random sign and average out; those on the diagonal come with $v_i^2 = 1$.

# %% [markdown]
# ## Formula
#
# $$ L(W + \Delta) - L(W) \approx \tfrac12\, \Delta^\top H \Delta, \qquad
# \Omega_\ell(b) = \frac{\mathrm{Tr}(H_\ell)}{n_\ell} \lVert Q_b(W_\ell) - W_\ell \rVert_2^2, \qquad
# \mathrm{Tr}(H_\ell) = \mathbb{E}\left[v_\ell^\top (H v)_\ell\right] $$
#
# - $\Delta$: what quantization adds to the weights; the gradient is near 0 after training and is left out
# - $H$: second derivatives of the loss with respect to all weights; $H_\ell$: the block of layer $\ell$, $(n_\ell, n_\ell)$
# - $n_\ell$: number of weights; $Q_b$: the grid of $b$ bits; $v$: a vector of random signs
#
# (Dong et al. 2020, equation 2.11.) HAWQ-V2 replaces the curvature in the direction of the error by the mean
# curvature over all directions, the trace over $n_\ell$. That is right on average if rounding errors are independent and alike.
# $H$ of one layer of 384 by 128 has 2.4 billion entries; none of them is ever computed.
#
# ## You write: a product with the Hessian
#
# The gradient $g(w)$ is a function of the weights like any other. The scalar $g^\top v$ is too, and its gradient is $H v$.
#
# <details><summary>Hint</summary>
# Two calls of `torch.autograd.grad`. What must the first one keep so that the second one is possible?
# </details>

# %% nbgrader={"grade_id": "hvp", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.hessian_trace import hvp

# %% [markdown]
# ### Check
#
# All checks run in float64, where a finite difference of gradients is good to seven digits.


# %% nbgrader={"grade_id": "test_hvp", "solution": false, "grade": true, "locked": true, "points": 8, "schema_version": 3, "task": false}
@probe
def quadratic_product(hvp, matrix, point, vector, sizes):
    import torch

    parts = [part.clone().requires_grad_() for part in point.split(sizes)]
    calls = []

    def objective():
        calls.append(1)
        w = torch.cat(parts)
        return 0.5 * w @ matrix @ w + (w**3).sum() / 3

    products = hvp(objective, parts, list(vector.split(sizes)))
    return {
        "products": [part.detach() for part in products],
        "needs_graph": [part.requires_grad for part in products],
        "grads": [part.grad is None for part in parts],
        "calls": calls,
    }


H = torch.tensor([[6.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
evidence = quadratic_product(hvp, H, torch.zeros(2).double(), torch.tensor([1.0, -1.0]).double(), [2])
checks.assert_close(
    evidence["products"][0], [4.0, 1.0], "product by hand", atol=1e-12, hint="6 - 2 = 4 and 2 - 1 = 1"
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("hvp")
A = torch.randn(7, 7, generator=generator, dtype=torch.float64)
A = A + A.T
point, vector = torch.randn(2, 7, generator=generator, dtype=torch.float64)
expected = A @ vector + 2 * point * vector
for sizes in ([7], [3, 4], [1, 5, 1]):
    evidence = quadratic_product(hvp, A, point, vector, sizes)
    checks.assert_close(
        torch.cat(evidence["products"]),
        expected,
        f"product in {len(sizes)} parts",
        rtol=1e-9,
        atol=1e-9,
        hint="sum g * v over all parameters before the second gradient: parts are coupled",
    )
checks.assert_equal(evidence["needs_graph"], [False] * 3, "products without a graph", hint="detach them")
checks.assert_true(
    all(evidence["grads"]),
    ".grad left alone",
    hint="torch.autograd.grad, not backward, which adds up in .grad",
)
checks.assert_equal(len(evidence["calls"]), 1, "calls of loss", hint="one forward pass is enough")


@probe
def network_product(hvp, weights, x, vectors):
    import torch

    parts = [part.clone().requires_grad_() for part in weights]

    def objective():
        hidden = torch.tanh(x @ parts[0].T + parts[1])
        return (torch.softmax(hidden @ parts[2].T, -1)[:, 0] + 1e-3).log().mean()

    return [part.detach() for part in hvp(objective, parts, vectors)]


shapes = ((6, 4), (6,), (3, 6), (2, 5))
weights = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
vectors = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
x = torch.randn(9, 4, generator=generator, dtype=torch.float64)


def gradients(step):
    parts = [
        (part + step * vector).requires_grad_() for part, vector in zip(weights[:3], vectors[:3], strict=True)
    ]
    hidden = torch.tanh(x @ parts[0].T + parts[1])
    return torch.autograd.grad((torch.softmax(hidden @ parts[2].T, -1)[:, 0] + 1e-3).log().mean(), parts)


products = network_product(hvp, weights, x, vectors)
for part, plus, minus, name in zip(
    products, gradients(1e-5), gradients(-1e-5), ("first", "bias", "second"), strict=False
):
    difference = (plus - minus) / 2e-5
    checks.assert_close(
        part,
        difference,
        f"product against a finite difference, {name}",
        atol=1e-6 * float(difference.abs().max()),
        hint="differentiate the gradient once more: g times g, or the gradient itself, is another thing",
    )
checks.assert_equal(
    products[3],
    torch.zeros(2, 5),
    "parameter that the loss does not use",
    hint="its product is 0: materialize_grads=True, or allow_unused=True and zeros for None",
)


@probe
def refused_product(hvp, point, wrong):
    parts = [point[:3].clone().requires_grad_(), point[3:].clone().requires_grad_()]
    return hvp(lambda: parts[0].square().sum() * parts[1].sum(), parts, wrong)


for label, wrong in (
    ("vectors that would broadcast", [vector[:1], vector[:1]]),
    ("a vector too few", [vector[:3]]),
):
    checks.assert_raises(
        "ValueError",
        refused_product,
        hvp,
        point,
        wrong,
        label=label,
        hint="compare the lists of shapes before you start",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: the trace
#
# One probe draws a sign for every weight of every layer at once and multiplies once with $H$. For each layer it gives
# one sample, $v_\ell^\top (H v)_\ell$, whose mean is the trace of the layer's block. How many probes are enough? The
# samples say it themselves: their standard deviation over $\sqrt{n}$ is the standard error of the mean.
#
# Why signs and not a normal distribution? With signs a sample's variance comes from the entries off the diagonal alone,
# $2 \sum_{i \ne j} H_{ij}^2$. A normal $v$ has $v_i^2 \ne 1$, which adds $2 \sum_i H_{ii}^2$.
#
# <details><summary>Hint</summary>
# `torch.randint(0, 2, shape, generator=generator)` gives 0 and 1. Mind the dtype of the parameter.
# </details>

# %% nbgrader={"grade_id": "hutchinson_trace", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.hessian_trace import hutchinson_trace

# %% [markdown]
# ### Check
#
# On a loss whose Hessian is diagonal, a single probe gives the trace exactly, whatever the signs. On others the estimate
# must lie within five standard errors of the trace, with the standard error that theory gives.


# %% nbgrader={"grade_id": "test_hutchinson_trace", "solution": false, "grade": true, "locked": true, "points": 9, "schema_version": 3, "task": false}
@probe
def quadratic_trace(hutchinson_trace, matrix, sizes, probes, seeds):
    import torch

    parts = [part.clone().requires_grad_() for part in torch.ones(matrix.shape[0]).double().split(sizes)]

    def objective():
        w = torch.cat(parts)
        return 0.5 * w @ matrix @ w

    found = []
    for seed in seeds:
        torch.manual_seed(len(found))
        source = torch.Generator().manual_seed(seed)
        found.append(hutchinson_trace(objective, parts, probes=probes, generator=source))
    return found


diagonal = torch.diag(torch.tensor([6.0, 1.0, -2.0, 0.5])).double()
(found,) = quadratic_trace(hutchinson_trace, diagonal, [1, 3], 1, [0])
checks.assert_close(
    found["trace"],
    [6.0, -0.5],
    "traces of a diagonal Hessian, one probe",
    atol=1e-12,
    hint="6 for the first parameter and 1 - 2 + 0.5 for the second: signs squared are 1",
)
### BEGIN HIDDEN TESTS
generator = checks.hidden_generator("hutchinson_trace")
diagonal = torch.diag(torch.randn(9, generator=generator, dtype=torch.float64))
for probes in (1, 4):
    (found,) = quadratic_trace(hutchinson_trace, diagonal, [4, 5], probes, [7])
    checks.assert_close(
        found["trace"],
        [float(diagonal.diagonal()[:4].sum()), float(diagonal.diagonal()[4:].sum())],
        f"traces of another diagonal Hessian, {probes} probes",
        atol=1e-9,
        hint="Rademacher signs: a normal vector has other squares than 1. The mean over probes, not the sum",
    )
    checks.assert_equal(
        [error is None for error in found["standard_error"]],
        [probes == 1] * 2,
        f"standard errors that are None, {probes} probes",
        hint="one sample has no standard deviation: None, a list entry for each parameter",
    )
checks.assert_close(
    found["standard_error"], [0.0, 0.0], "standard errors without spread", atol=1e-9, hint="all samples agree"
)
PROBES = 300
A = torch.randn(10, 10, generator=generator, dtype=torch.float64)
A = A @ A.T / 3
seeds = torch.randint(0, 2**31, (2,), generator=generator).tolist()
for sizes in ([10], [6, 4]):
    found, again, other = quadratic_trace(hutchinson_trace, A, sizes, PROBES, [seeds[0], seeds[0], seeds[1]])
    start = 0
    for number, size in enumerate(sizes):
        block = A[start : start + size, start : start + size]
        coupled = A[start : start + size].square().sum() - block.square().sum()
        variance = 2 * (block.square().sum() - block.diagonal().square().sum()) + coupled
        theory = math.sqrt(float(variance) / PROBES)
        checks.assert_close(
            found["trace"][number],
            float(block.trace()),
            f"trace of parameter {number} of {len(sizes)}",
            atol=5 * theory,
            hint="v_i times (H v)_i over this parameter's entries, the mean over independent probes",
        )
        checks.assert_close(
            found["standard_error"][number] / theory,
            1.0,
            f"standard error over theory, parameter {number} of {len(sizes)}",
            atol=0.35,
            hint="standard deviation of the samples over sqrt(n), one joint probe for all parameters",
        )
        start += size
    checks.assert_close(
        again["trace"], found["trace"], "the same seed again", rtol=1e-9, hint="draw from the given generator"
    )
    checks.assert_true(
        abs(other["trace"][0] - found["trace"][0]) > 1e-6 * abs(found["trace"][0]),
        "another seed",
        hint="draw every probe anew from the given generator",
    )
checks.assert_raises(
    "ValueError",
    quadratic_trace,
    hutchinson_trace,
    A,
    [10],
    0,
    [0],
    label="no probes",
    hint="there is nothing to average",
)
by_hand = torch.tensor([[6.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
for found in quadratic_trace(hutchinson_trace, by_hand, [2], 2, list(range(12))):
    # With the example by hand a sample is 3 or 11, so two samples give a mean of 3, 7 or 11 and an error of 0 or 4.
    checks.assert_close(
        [found["standard_error"][0]],
        [4.0 if abs(found["trace"][0] - 7.0) < 1e-6 else 0.0],
        "standard error of two probes",
        atol=1e-9,
        hint="the standard deviation with n - 1: samples 3 and 11 give 5.657, over sqrt(2) 4",
    )
### END HIDDEN TESTS

# %% [markdown]
# ## The layers of the Llama
#
# Eight blocks of training text and eight probes. The layer's entry is divided by its number of weights, because HAWQ-V2
# wants the mean curvature. How large do you expect the ratio of the largest to the smallest to be?

# %%
parameters = [layer.weight for layer in linears.values()]
started = time.process_time()
estimate = hutchinson_trace(
    lambda: next_token_loss(model, train[:8]),
    parameters,
    probes=8,
    generator=torch.Generator().manual_seed(0),
)
print(f"{time.process_time() - started:.1f} s of CPU")
traces = dict(zip(linears, estimate["trace"], strict=True))
for name, error in zip(linears, estimate["standard_error"], strict=True):
    mean = 1e3 * traces[name] / linears[name].weight.numel()
    print(f"{name:40s} trace {traces[name]:7.1f} +- {error:5.1f}   mean curvature {mean:7.3f} thousandths")

# %% [markdown]
# The mean curvature of the first block's value projection is 230 times that of the second block's query projection.
# The key projection there, 1.6 ± 1.8, could as well be 0: where a trace is small, eight probes tell you that it is
# small and no more.
#
# ## You write: the score
#
# `hawq_score` puts the two factors together: how sharply the loss bends, and how far quantization moves the weights.
# By hand: a trace of 12 over 4 weights is a mean curvature of 3; weights moved by 0.1, −0.1, 0.2 and 0 have a squared
# error of 0.06. The score is 0.18, and half of it is the expected rise of the loss.

# %% nbgrader={"grade_id": "hawq_score", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.hessian_trace import hawq_score

# %% [markdown]
# ### Check
#
# The last check runs your three functions on the Llama with eight probes, scores its 28 layers at three bits, and compares
# their order with what quantizing each of them alone does to the predictions on text that you do not have. The rank
# correlation must reach 0.8; the squared error of the weights alone has about 0.3.


# %% nbgrader={"grade_id": "test_hawq_score", "solution": false, "grade": true, "locked": true, "points": 7, "schema_version": 3, "task": false}
@probe
def llama_traces(hutchinson_trace, tokens, probes, seed):
    import torch
    from labkit import ops, zoo

    net = zoo.load("llama", attention="eager").eval()
    weights = [layer.weight for layer in ops.linear_layers(net, skip=("lm_head",)).values()]

    def objective():
        predictions = torch.log_softmax(net(input_ids=tokens).logits[:, :-1], -1)
        return -predictions.gather(-1, tokens[:, 1:, None]).mean()

    return hutchinson_trace(objective, weights, probes=probes, generator=torch.Generator().manual_seed(seed))


w = torch.tensor([[0.5, -0.2], [0.1, 1.0]])
checks.assert_close(
    hawq_score(12.0, w, w + torch.tensor([[0.1, -0.1], [0.2, 0.0]])),
    0.18,
    "score by hand",
    rtol=1e-5,
    hint="12 / 4 times 0.01 + 0.01 + 0.04",
)
### BEGIN HIDDEN TESTS
from heldout import prose as test_split
from reference_impl.quantization.sensitivity import layer_sensitivity, spearman

generator = checks.hidden_generator("hawq_score")
for shape in ((5, 8), (3, 2, 4), (11,)):
    w = torch.randn(shape, generator=generator)
    q = w + 0.1 * torch.randn(shape, generator=generator)
    checks.assert_close(
        hawq_score(7.5, w, q),
        7.5 / w.numel() * float((q.double() - w.double()).square().sum()),
        f"score of a weight of shape {shape}",
        rtol=1e-5,
        hint="the trace over the number of entries, times the sum (not the mean) of the squared differences",
    )
checks.assert_equal(hawq_score(-3.0, w, q), 0.0, "score of a negative trace", hint="it counts as 0")
checks.assert_equal(hawq_score(3.0, w, w), 0.0, "score without an error", hint="nothing moved")
checks.assert_raises(
    "ValueError", hawq_score, 3.0, w, q[:1], label="shapes that differ", hint="(11,) and (1,) broadcast"
)
drawn = torch.randperm(len(train), generator=generator)[:8]
found = llama_traces(hutchinson_trace, train[drawn], 8, int(drawn[0]))
scores = [
    hawq_score(trace, layer.weight.detach(), on_grid(layer.weight, 3))
    for trace, layer in zip(found["trace"], linears.values(), strict=True)
]
test = data.tensors(test_split())["input_ids"]
test = test[torch.randperm(len(test), generator=generator)[:8]]
truth = layer_sensitivity(model, list(linears), [{"input_ids": test}], 3, on_grid)
checks.assert_at_least(
    spearman([truth[name] for name in linears], scores),
    0.8,
    "rank correlation with what quantizing does",
    hint="mean trace times squared error; look at the traces first",
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# Now the prediction meets the measurement: the score at two bits against what quantizing this layer alone does to the
# loss of sixteen blocks of text. The theory says that the loss rises by half of the score. Where do you expect the
# points: on the line, above, below? And where would the squared error of the weights alone put them?


# %%
@torch.no_grad()
def loss_with(changes: dict[str, Tensor], tokens: Tensor) -> float:
    """The loss of the model in which some weights are others; the model itself is not touched."""
    weights = {f"{name}.weight": weight for name, weight in changes.items()}
    logits = torch.func.functional_call(model, weights, kwargs={"input_ids": tokens}).logits
    return float(nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()))


text = train[8:24]
before = loss_with({}, text)
rounded = {name: on_grid(layer.weight, 2) for name, layer in linears.items()}
rise = {name: loss_with({name: weight}, text) - before for name, weight in rounded.items()}
half_score = {
    name: hawq_score(traces[name], linears[name].weight.detach(), rounded[name]) / 2 for name in linears
}

# %%
figure, axes = plots.figure(
    alt="For each of 28 layers at 2 bits, the measured rise of the loss against half of the HAWQ-V2 score, both on log "
    "scales. The points rise along a diagonal over two orders of magnitude, most of them a little off the line of "
    "equality; the value and output projections of the first block are at the upper right."
)
for block, (marker, shade) in enumerate(zip(plots.MARKERS, plots.SHADES, strict=True)):
    names = [name for name in linears if f".layers.{block}." in name and rise[name] > 0]
    if names:
        xs, ys = [half_score[name] for name in names], [rise[name] for name in names]
        axes.plot(xs, ys, marker, color=shade, label=f"block {block}")
ends = [min(half_score.values()), max(half_score.values())]
axes.plot(ends, ends, color="black", linewidth=1, label="equal")
axes.set(
    xscale="log",
    yscale="log",
    xlabel="half of the score (nats a token)",
    ylabel="rise of the loss (nats a token)",
)
axes.legend(frameon=False, fontsize=8)
plots.show(figure)

# %%
names = list(linears)
ranks = (
    torch.tensor([[values[name] for name in names] for values in (half_score, rise)]).argsort(1).argsort(1)
)
error_ranks = torch.tensor([float((rounded[n] - linears[n].weight.detach()).square().sum()) for n in names])
error_ranks = error_ranks.argsort().argsort()
print(f"rank correlation of the score with the rise   {torch.corrcoef(ranks.double())[0, 1]:.3f}")
both = torch.stack([error_ranks, ranks[1]]).double()
print(f"rank correlation of the weight error with it  {torch.corrcoef(both)[0, 1]:.3f}")
ratios = sorted(rise[name] / half_score[name] for name in names)
print(f"rise over half of the score: median {ratios[14]:.2f}, from {ratios[0]:.2f} to {ratios[-1]:.2f}")
print(f"layers whose loss fell: {sum(value < 0 for value in rise.values())}")

# %% [markdown]
# Over two orders of magnitude the score says what will happen, and it ranks the layers with 0.90, the squared error of
# the weights with 0.23. The typical layer loses 1.3 times what half of the score promises. Two bits are a large step:
# terms beyond the second order are missing, and rounding errors are not evenly spread over directions.
# The points far from the line are the layers whose loss moves least, where sixteen blocks of text decide by luck.
#
# ## How many probes?
#
# A probe costs one forward and two backward passes. The next cell repeats estimates with few probes and looks at how
# much the order of the layers changes, which is all that an allocation needs.

# %%
order = torch.tensor([half_score[name] for name in names]).argsort().argsort().double()
for probes in (1, 2, 4):
    repeats = []
    for seed in range(3):
        few = hutchinson_trace(
            lambda: next_token_loss(model, train[:2]),
            parameters,
            probes=probes,
            generator=torch.Generator().manual_seed(10 + seed),
        )
        scores = [
            hawq_score(trace, linears[name].weight.detach(), rounded[name])
            for name, trace in zip(names, few["trace"], strict=True)
        ]
        ranks_few = torch.tensor(scores).argsort().argsort().double()
        repeats.append(float(torch.corrcoef(torch.stack([order, ranks_few]))[0, 1]))
    print(f"{probes} probes on two blocks: rank correlation", "  ".join(f"{value:.3f}" for value in repeats))

# %% [markdown]
# A single probe on two blocks ranks badly, 0.44 to 0.84; four give 0.82 to 0.89. More text helps as well as more probes do.
#
# ## Measure
#
# Does the score choose well? Twelve layers stay at four bits and sixteen go to two: those with the lowest scores, those with
# the lowest squared error of the weights, and sixteen at random.

# %%
validation = data.tensors(data.prose()["validation"])["input_ids"]
weight_error = {name: float((rounded[name] - linears[name].weight.detach()).square().sum()) for name in names}
shuffled = torch.randperm(28, generator=torch.Generator().manual_seed(1)).tolist()
chance = {name: float(value) for name, value in zip(names, shuffled, strict=True)}


def mixed(values: dict[str, float]) -> evaluation.Entry:
    """The model with the 16 layers of lowest value at 2 bits and the others at 4, and its bytes."""
    net, low = zoo.load("llama").eval(), sorted(names, key=values.__getitem__)[:16]
    stored = 2 * evaluation.parameter_count(net)
    for name in names:
        weight, bits = net.get_submodule(name).weight, 2 if name in low else 4
        weight.data = on_grid(weight, bits)
        stored += int(weight.numel() * (bits + 24 / GROUP - 16) / 8)
    return evaluation.Entry(net, stored_bytes=stored)


models = {
    "float32": model,
    "by score": mixed(half_score),
    "by weight error": mixed(weight_error),
    "at random": mixed(chance),
}
table = evaluation.report(models, {"input_ids": validation[::5]}, repeats=5)
print(evaluation.show(table[["bytes", "times smaller", "bits a weight", "perplexity", "recovery"]]))

# %% [markdown]
# Read perplexity and bytes together. By score the model is smaller than by weight error, and its perplexity
# is 16.6 against 24.1. The squared error is largest in the largest layers, so it spends its bits there; the first
# block's value projection, small and sharp, goes to two bits.
#
# ## What goes wrong
#
# - **The fused attention.** `zoo.load("llama")` without `attention="eager"` stops in the second backward pass; the next
#   cell shows the message.
# - **Gaussian probes.** The mean is right, so nothing looks wrong; only more probes are needed for the same error.
#   A diagonal Hessian shows it with one probe.
# - **The gradient's norm in place of the trace.** At a minimum over all text it is 0 whatever the curvature. The cell
#   below gives it 0.93 all the same: over eight blocks the gradient is noise, and the size of this noise goes with the curvature.
#   As a ranking it passes; as a trace it is wrong, since it shrinks as you add blocks, from 0.79 at 8 to 0.14 at 64.

# %%
fused = zoo.load("llama").eval()
weight = fused.get_submodule(names[0]).weight
try:
    hvp(lambda: next_token_loss(fused, train[:1]), [weight], [torch.ones_like(weight)])
except RuntimeError as problem:
    print(str(problem).splitlines()[0])
for count in (8, 64):
    gradient = torch.autograd.grad(next_token_loss(model, train[:count]), parameters)
    squares = torch.tensor([float(g.square().sum()) for g in gradient])
    both = torch.stack([squares.argsort().argsort(), ranks[1]]).double()
    print(
        f"{count:2d} blocks: squared gradient {squares.sum():.4f}, rank correlation {torch.corrcoef(both)[0, 1]:.3f}"
    )

# %% [markdown]
# ## At full size
#
# One probe for the seven layers of the first block of the published checkpoint. Where its weights or a GPU are missing, the
# cell says so in one line.

# %%
try:
    full = zoo.load("llama", profile="full", attention="eager")
    tokenizer = zoo.tokenizer("llama", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    rows = data.tensors(data.prose()["validation"].select(range(1)), tokenizer=tokenizer, limit=1)
    tokens = rows["input_ids"].to(next(full.parameters()).device)
    first = {name: layer.weight for name, layer in ops.linear_layers(full).items() if ".layers.0." in name}
    for parameter in full.parameters():
        parameter.requires_grad_(any(parameter is weight for weight in first.values()))
    found = hutchinson_trace(
        lambda: next_token_loss(full, tokens),
        list(first.values()),
        probes=1,
        generator=torch.Generator().manual_seed(0),
    )
    print(dict(zip(first, found["trace"], strict=True)))

# %% [markdown]
# ## Further reading
#
# - Dong et al. 2020 (arXiv 1911.03852): why the mean trace and not the largest eigenvalue.
# - Yao et al. 2020 (arXiv 1912.07145): the same products for eigenvalues and for the whole spectrum.
# - Hubara et al. 2020 (arXiv 2006.10518): calibrating layers one after the other when the quadratic picture fails.
