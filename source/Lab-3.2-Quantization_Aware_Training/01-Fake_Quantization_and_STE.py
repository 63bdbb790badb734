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
# # Fake quantization and the straight-through estimator
#
# You put a network on an integer grid in the forward pass, and give it a gradient that rounding does not have.
#
# | | |
# |---|---|
# | You will be able to | write an autograd function with a gradient of your own, train weights that live on a grid, and say what such training converges to |
# | Time | about 70 minutes |
# | Points | 20 of the lab's 100 |
# | You need | scale and zero-point (lab 3.1, notebook 01); autograd in PyTorch |
# | Papers | Bengio et al. 2013 (arXiv 1308.3432); Courbariaux et al. 2015, BinaryConnect (arXiv 1511.00363); Jacob et al. 2018 (arXiv 1712.05877); Nagel et al. 2022, Overcoming Oscillations in Quantization-Aware Training (arXiv 2203.11086) |

# %% [markdown] lang="zh-TW"
# # 假量化與直通估計
#
# 你會讓網路在前向計算時落在整數格點上，並為捨入運算補上一個它本來沒有的梯度。
#
# | | |
# |---|---|
# | 完成後你能 | 撰寫自訂梯度的 autograd 函式、訓練落在格點上的權重，並說明這種訓練會收斂到哪裡 |
# | 時間 | 約 70 分鐘 |
# | 配分 | 本實驗 100 分中的 20 分 |
# | 先備知識 | 縮放係數與零點（實驗 3.1，筆記本 01）；PyTorch 的自動微分 |
# | 論文 | Bengio et al. 2013 (arXiv 1308.3432)；Courbariaux et al. 2015 (arXiv 1511.00363)；Jacob et al. 2018 (arXiv 1712.05877)；Nagel et al. 2022 (arXiv 2203.11086) |

# %% nbgrader={"grade_id": "setup", "solution": false, "grade": false, "locked": true, "schema_version": 3, "task": false} tags=["shared"]
import copy
from typing import Any

import torch
from labkit import checks, data, evaluation, ops, plots, runtime, zoo
from labkit.probe import nonfinite_allowed, probe  # used by the checks
from torch import Tensor, nn
from torch.nn.utils import parametrize

runtime.start(seed=321)
model = zoo.load("encoder").eval()

# %% [markdown]
# ## Why
#
# Post-training quantization takes the weights as they are. Our encoder has 154,954 parameters and names the clothing
# in 83.7% of 1,000 validation pictures. With three values a row for its weights, −s, 0 and s, it is right in 51.4%.
# The weights were trained for another purpose. So train them for this one: compute with the three values and change
# the weights until that works. Eighty steps of it end at 80.9%.
#
# The trouble is the gradient. Rounding is a staircase: flat nearly everywhere, so its derivative is 0 and no
# weight moves. This notebook builds the way around it, and measures what it is worth: the same training with it and
# without it, from the same weights.

# %% [markdown]
# ## By hand
#
# Step 0.5, three bits, codes −3 … 3.
#
# | x | x / step | code | value | change of the value when x grows by 0.01 | estimated slope |
# |---|---|---|---|---|---|
# | −1.2 | −2.4 | −2 | −1.0 | 0 | 1 |
# | 0.3 | 0.6 | 1 | 0.5 | 0 | 1 |
# | 0.9 | 1.8 | 2 | 1.0 | 0 | 1 |
# | 2.6 | 5.2 | 3 | 1.5 | 0 | 0 |
#
# The true slope is 0 in every row. But over a range the staircase follows the line x: from −1.5 to 1.5 the value
# grows by 3.0 where x grows by 3.0. The straight-through estimator takes that average slope, 1, for every x inside
# the grid. For 2.6 the slope is 0 for another reason: it is clipped, and moving it a little, or a lot, changes
# nothing.

# %% [markdown]
# ## Formula
#
# $$ \hat x = s\,\bigl(\mathrm{clamp}(\mathrm{round}(x / s) + z,\ q_{\min},\ q_{\max}) - z\bigr) \qquad
# \frac{\partial \hat x}{\partial x} := \begin{cases} 1 & q_{\min} \le x / s + z \le q_{\max} \\ 0 & \text{otherwise} \end{cases} $$
#
# - $x$: floats of any shape; $\hat x$: floats of the same shape that lie on the grid, hence "fake" quantization
# - $s$: step, broadcast against $x$; $z$: zero-point; $q_{\min}, q_{\max}$: smallest and largest code
#
# The symbol := is meant: this is a definition, not a derivation. (Jacob et al. 2018, equation 12; the estimator is in
# Bengio et al. 2013, section 4.) Here $s$ is a constant and gets no gradient; notebook 03 trains it.

# %% [markdown]
# ## You write: the function and its gradient
#
# `FakeQuantizeSTE` is a `torch.autograd.Function`: two static methods, one for each direction. What `backward` needs
# it gets through `ctx`. `fake_quantize` calls it.
#
# PyTorch has `torch.fake_quantize_per_tensor_affine`, which does the same for float32 and one scale. The checks use
# float64, because they compare derivatives, and a scale for each row.
#
# <details><summary>Hint 1</summary>
# Which of x, the codes, and the clamped codes tells you later which values were clipped?
# </details>
# <details><summary>Hint 2</summary>
# `backward` returns one value for each argument of `forward` after `ctx`: five of them, four of which are None.
# </details>

# %% nbgrader={"grade_id": "fake_quantize", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.fake_quantization import FakeQuantizeSTE
from reference_impl.quantization.fake_quantization import fake_quantize

# %% [markdown]
# ### Check: the values

# %% nbgrader={"grade_id": "test_fake_quantize", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
by_hand = torch.tensor([-1.2, 0.3, 0.9, 2.6])
checks.assert_close(
    fake_quantize(by_hand, torch.tensor(0.5), 0, -3, 3),
    [-1.0, 0.5, 1.0, 1.5],
    "values by hand",
    atol=1e-6,
    hint="divide, round, clamp, and multiply by the step again",
)
### BEGIN HIDDEN TESTS
from reference_impl.quantization.hidden_inputs_training import around_grid

generator = checks.hidden_generator("fake_quantize")
for case, qmin, qmax, zero_point in (
    ("symmetric 4 bits", -7, 7, 0),
    ("unsigned 8 bits", 0, 255, 83),
    ("unsigned 2 bits", 0, 3, 2),
):
    for shape, sizes in (((6, 30), (6, 1)), ((40,), ()), ((2, 3, 5), (5,))):
        scale = 0.02 + torch.rand(sizes, generator=generator, dtype=torch.float64)
        x, codes, _ = around_grid(shape, scale, zero_point, qmin, qmax, generator)
        checks.assert_close(
            fake_quantize(x, scale, zero_point, qmin, qmax),
            (codes.clamp(qmin, qmax) - zero_point) * scale,
            f"values, {case}, scale of shape {tuple(sizes)}",
            rtol=1e-9,
            atol=1e-9,
            hint="add the zero-point before clamping and take it off after; the scale broadcasts",
        )
scale = 0.02 + torch.rand(6, 1, generator=generator, dtype=torch.float64)
zero_points = torch.tensor([[0], [3], [7], [12], [15], [9]])
x, codes, _ = around_grid((6, 30), scale, zero_points, 0, 15, generator)
checks.assert_close(
    fake_quantize(x, scale, zero_points, 0, 15),
    (codes.clamp(0, 15) - zero_points) * scale,
    "values, a zero-point a row",
    rtol=1e-9,
    atol=1e-9,
    hint="the zero-point may be a tensor that broadcasts, as the scale may",
)
checks.assert_close(
    fake_quantize(torch.tensor([0.25, 0.75, 1.25, -0.25, -0.75]), torch.tensor(0.5), 0, -7, 7),
    [0.0, 1.0, 1.0, 0.0, -1.0],
    "halves",
    hint="halves go to the even code: use torch.round",
)
once = fake_quantize(x.float(), scale.float(), zero_points, 0, 15)
checks.assert_equal(str(once.dtype), "torch.float32", "dtype", hint="the result has the dtype of x")
checks.assert_close(
    fake_quantize(once, scale.float(), zero_points, 0, 15),
    once,
    "values on the grid",
    rtol=1e-6,
    atol=1e-6,
    hint="a value on the grid stays where it is",
)
### END HIDDEN TESTS

# %% [markdown]
# ### Check: the gradient
#
# The check sends a gradient backward and looks at what arrives. What it sends is not all ones: a gradient that is
# replaced instead of passed on would look right.


# %% nbgrader={"grade_id": "test_ste_gradient", "solution": false, "grade": true, "locked": true, "points": 6, "schema_version": 3, "task": false}
@probe
def arriving_gradients(FakeQuantizeSTE, fake_quantize, x, scale, zero_point, qmin, qmax, upstream):
    evidence = {}
    for name, function in (("class", FakeQuantizeSTE.apply), ("function", fake_quantize)):
        leaf, step = x.clone().requires_grad_(), scale.clone().requires_grad_()
        function(leaf, step, zero_point, qmin, qmax).backward(upstream)
        evidence[name] = {"x": leaf.grad, "scale": step.grad}
    return evidence


evidence = arriving_gradients(
    FakeQuantizeSTE,
    fake_quantize,
    torch.tensor([-1.2, 0.3, 0.9, 2.6]),
    torch.tensor(0.5),
    0,
    -3,
    3,
    torch.ones(4),
)
checks.assert_close(
    evidence["function"]["x"],
    [1.0, 1.0, 1.0, 0.0],
    "gradient by hand",
    hint="1 inside the grid, 0 where x is clipped",
)
### BEGIN HIDDEN TESTS
from reference_impl.quantization.hidden_inputs_training import around_grid

generator = checks.hidden_generator("ste_gradient")
for case, qmin, qmax, zero_point in (
    ("symmetric 4 bits", -7, 7, 0),
    ("unsigned 8 bits", 0, 255, 200),
    ("unsigned 2 bits", 0, 3, 2),
):
    for sizes in ((6, 1), ()):
        scale = 0.02 + 0.3 * torch.rand(sizes, generator=generator, dtype=torch.float64)
        x, codes, settled = around_grid((6, 30), scale, zero_point, qmin, qmax, generator)
        upstream = torch.randn(6, 30, generator=generator, dtype=torch.float64)
        evidence = arriving_gradients(
            FakeQuantizeSTE, fake_quantize, x, scale, zero_point, qmin, qmax, upstream
        )
        inside = (codes >= qmin) & (codes <= qmax)
        for name in ("class", "function"):
            case_name = f"{case}, scale of shape {tuple(sizes)}, {name}"
            gradient = evidence[name]["x"]
            checks.assert_true(
                gradient is not None, f"a gradient arrives, {case_name}", hint="fake_quantize calls apply"
            )
            checks.assert_close(
                gradient[settled & inside],
                upstream[settled & inside],
                f"gradient inside the grid, {case_name}",
                rtol=1e-12,
                hint="hand grad_output on unchanged: no factor of scale, no rounding; clipping is decided with "
                "the zero-point added",
            )
            checks.assert_close(
                gradient[~inside],
                torch.zeros(int((~inside).sum())),
                f"gradient of clipped values, {case_name}",
                hint="a clipped value does not move the output: its gradient is 0",
            )
            checks.assert_true(
                evidence[name]["scale"] is None,
                f"gradient of the scale, {case_name}",
                hint="return None for the scale; notebook 03 trains it",
            )
### END HIDDEN TESTS

# %% [markdown]
# ## You write: a weight on its grids
#
# A weight's scales come from the weight, and training moves the weight: the scales are computed in every forward pass
# anew. Two details decide whether training works. The scale must not carry a gradient of its own. And the largest
# weight of a row must not count as clipped: in float32, the maximum divided by (maximum / 7) is now and then
# 7.0000005.

# %% nbgrader={"grade_id": "fake_quantize_weight", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.fake_quantization import fake_quantize_weight

# %% [markdown]
# ### Check


# %% nbgrader={"grade_id": "test_fake_quantize_weight", "solution": false, "grade": true, "locked": true, "points": 4, "schema_version": 3, "task": false}
@probe
def weight_evidence(fake_quantize_weight, weights, bits, upstream):
    evidence = []
    leaf = weights[0].clone().requires_grad_()
    for weight in weights:
        leaf.data.copy_(weight)
        leaf.grad = None
        on_grid = fake_quantize_weight(leaf, bits)
        on_grid.backward(upstream)
        evidence.append({"values": on_grid.detach(), "gradient": leaf.grad})
    return evidence


weight = torch.tensor([[0.7, -0.25, 0.12], [0.0, 0.01, -0.03]])
(seen,) = weight_evidence(fake_quantize_weight, [weight], 3, torch.ones(2, 3))
checks.assert_close(
    seen["values"],
    [[0.7, -0.7 / 3, 0.7 / 3], [0.0, 0.01, -0.03]],
    "weight by hand",
    atol=1e-6,
    hint="steps of 0.7 / 3 in the first row and 0.01 in the second; 0.12 / 0.2333 rounds to 1",
)
### BEGIN HIDDEN TESTS
from reference_impl.quantization.hidden_inputs_training import weight_off_ties

generator = checks.hidden_generator("fake_quantize_weight")
for bits in (2, 4, 8):
    q = 2 ** (bits - 1) - 1
    weights = [weight_off_ties(6, 40, bits, generator) for _ in range(2)]
    upstream = torch.randn(6, 40, generator=generator)
    for case, seen, weight in zip(
        ("first call", "after an update"),
        weight_evidence(fake_quantize_weight, weights, bits, upstream),
        weights,
        strict=True,
    ):
        scale = weight.abs().amax(1, keepdim=True) / q
        checks.assert_close(
            seen["values"],
            torch.round(weight / scale) * scale,
            f"values, {bits} bits, {case}",
            rtol=1e-5,
            atol=1e-7,
            hint="one scale a row, max|row| / (2^(bits-1) - 1), from the weight of this call",
        )
        checks.assert_close(
            seen["gradient"],
            upstream,
            f"gradient, {bits} bits, {case}",
            rtol=1e-6,
            hint="every weight gets its gradient, the largest of a row too; detach the scale, and decide clipping by "
            "the rounded code",
        )
weight = weight_off_ties(3, 5, 4, generator)
weight[1] = 0.0
with nonfinite_allowed():
    (seen,) = weight_evidence(fake_quantize_weight, [weight], 4, torch.ones(3, 5))
checks.assert_close(seen["values"][1], torch.zeros(5), "row of zeros", hint="a row of zeros has scale 1")
checks.assert_close(
    seen["gradient"][1], torch.ones(5), "gradient of a row of zeros", hint="zeros must be able to leave 0"
)
### END HIDDEN TESTS

# %% [markdown]
# ## You write: descent on latent weights
#
# The weights that training changes are floats; the loss sees their grid values only. So there are two sets, and it
# matters which is updated. One weight, input 1, target 0.8, grid −1, 0, 1, learning rate 0.1:
#
# - latent 0.20, grid value 0, gradient 2 · (0 − 0.8) = −1.6, so the latent weight grows by 0.16;
# - latent 0.36, grid value 0: 0.52; now the grid value is 1, the gradient 2 · (1 − 0.8) = 0.4, and it falls back
#   to 0.48.
#
# Had the update been written into the grid value, 0 + 0.16 would have been rounded to 0 again, and again for ever: no
# step smaller than half a grid step can ever add up. In the latent weight it does.

# %% nbgrader={"grade_id": "latent_descent", "solution": true, "grade": false, "locked": false, "schema_version": 3, "task": false}
from reference_impl.quantization.fake_quantization import latent_descent

# %% [markdown]
# ### Check

# %% nbgrader={"grade_id": "test_latent_descent", "solution": false, "grade": true, "locked": true, "points": 5, "schema_version": 3, "task": false}
start, one, target = (torch.tensor(value, dtype=torch.float64) for value in ([0.2], [[1.0]], [0.8]))
path = latent_descent(start, one, target, scale=1.0, qmax=1, learning_rate=0.1, steps=3)
checks.assert_close(
    path["latent"],
    [[0.2], [0.36], [0.52], [0.48]],
    "latent weights by hand",
    atol=1e-6,
    hint="take the gradient at the grid value, change the latent weight",
)
### BEGIN HIDDEN TESTS
from reference_impl.quantization.hidden_inputs_training import descent_by_hand, descent_problem

generator = checks.hidden_generator("latent_descent")
for number in range(3):
    problem = descent_problem(generator)
    before = problem["weight"].clone()
    path = latent_descent(**problem, scale=0.5, qmax=3, learning_rate=0.05, steps=25)
    expected = descent_by_hand(**problem, scale=0.5, qmax=3, learning_rate=0.05, steps=25)
    checks.assert_close(
        path["latent"],
        expected,
        f"latent weights, problem {number}",
        atol=1e-7,
        hint="the gradient at the grid values; 0 for a clipped weight; the mean over rows, not the sum",
    )
    checks.assert_equal(
        path["codes"],
        torch.round(expected / 0.5).clamp(-3, 3),
        f"codes, problem {number}",
        hint="the codes of the latent weights, clamped, before the first and after each update",
    )
    checks.assert_equal(
        str(path["codes"].dtype), "torch.int8", f"dtype of the codes, problem {number}", hint="int8"
    )
still = latent_descent(**problem, scale=0.5, qmax=3, learning_rate=0.05, steps=0)
checks.assert_equal(
    still["latent"], before.reshape(1, 4), "no steps", hint="the first row is the starting weight"
)
### END HIDDEN TESTS

# %% [markdown]
# ## Predict, then run
#
# The same one weight with the target 0.8, now for 60 steps. The grid has no 0.8. Where does the latent weight settle:
# at 0.8, at 1, or somewhere else? And with the target 0.3?

# %%
paths = {
    f"target {goal}": latent_descent(
        torch.tensor([0.13], dtype=torch.float64),
        torch.ones(1, 1, dtype=torch.float64),
        torch.tensor([goal], dtype=torch.float64),
        scale=1.0,
        qmax=1,
        learning_rate=0.05,
        steps=60,
    )
    for goal in (0.8, 0.3)
}
figure = plots.lines(
    range(61),
    {name: path["latent"].flatten().tolist() for name, path in paths.items()},
    x_label="update",
    y_label="latent weight (grid steps)",
    alt="Latent weight over 60 updates for the targets 0.8 and 0.3. Both rise to 0.5, the tie between the grid values 0 "
    "and 1, and go up and down there; with target 0.8 mostly above it, with 0.3 mostly below.",
)
figure.axes[0].axhline(0.5, color="black", linewidth=0.8)
plots.show(figure)
for name, path in paths.items():
    print(
        f"{name}: on the grid value 1 in {path['codes'][11:].float().mean().item():.0%} of the last 50 updates"
    )

# %% [markdown]
# Neither settles. Each goes back and forth across 0.5, the tie between the two grid values, and spends on the upper
# one the share of time that makes the average 0.8, or 0.3. Lowering the learning rate narrows the band and never
# ends it: Nagel et al. 2022 found this oscillation in full-size networks, where it spoils the statistics of batch
# normalization. When training stops, the side of the tie is an accident of the last step.

# %% [markdown]
# ## Measure
#
# The encoder with three values a weight, four times: rounded and left so; trained 80 steps through plain rounding;
# trained through your estimator. The two runs see the same batches. Everything but the weights of linear layers
# stays in float32 and is trained too. Which runs move the weights of the linear layers at all?

# %%
train = data.tensors(data.fashion()["train"])
validation = data.tensors(data.fashion()["validation"])


class OnGrid(nn.Module):
    """A parametrization that shows a layer its weight on a 2-bit grid."""

    def __init__(self, straight_through: bool) -> None:
        super().__init__()
        self.straight_through = straight_through

    def forward(self, weight: Tensor) -> Tensor:
        return fake_quantize_weight(weight if self.straight_through else weight.detach(), 2)


def two_bit(straight_through: bool) -> nn.Module:
    """A copy of the encoder whose linear layers compute with 2-bit weights."""
    changed = copy.deepcopy(model)
    for layer in ops.linear_layers(changed).values():
        parametrize.register_parametrization(layer, "weight", OnGrid(straight_through))
    return changed


def trained(changed: nn.Module, steps: int = 80) -> nn.Module:
    optimizer = torch.optim.Adam([p for p in changed.parameters() if p.requires_grad], lr=1e-3)
    order = torch.Generator().manual_seed(0)
    changed.train()
    for _ in range(steps):
        part = torch.randint(len(train["labels"]), (64,), generator=order)
        loss = nn.functional.cross_entropy(changed(train["pixel_values"][part]), train["labels"][part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return changed.eval()


# %%
torch.manual_seed(0)
arms: dict[str, Any] = {"rounded": two_bit(True), "through rounding": trained(two_bit(False))}
torch.manual_seed(0)
arms["straight-through"] = trained(two_bit(True))
moved = {}
for name, arm in arms.items():
    layers = [layer for layer in arm.modules() if isinstance(layer, nn.Linear)]
    pairs = zip(layers, ops.linear_layers(model).values(), strict=True)
    distance = [(new.parametrizations.weight.original - old.weight).abs().mean().item() for new, old in pairs]
    moved[name] = sum(distance) / len(distance)
two_bits_bytes = evaluation.stored_bytes(model) - int(
    sum(layer.weight.numel() for layer in ops.linear_layers(model).values()) * (4 - 2 / 8)
)
entries: dict[str, Any] = {"float32": model} | {
    name: evaluation.Entry(arm, stored_bytes=two_bits_bytes, parameters=154_954) for name, arm in arms.items()
}
table = evaluation.report(entries, validation, repeats=5)
print(evaluation.show(table[["bytes", "times smaller", "latency (ms)", "accuracy", "recovery"]]))
print({name: round(distance, 4) for name, distance in moved.items()})

# %% [markdown]
# The last line prints how far an average weight of a linear layer moved. Through plain rounding: not at all. And yet
# accuracy rises from 0.514 to 0.776, because biases, norms and positions, which are not rounded, learn to live with
# the damage. A falling loss is no proof that a gradient arrives where you want it. With the estimator the weights move
# and 0.809 is reached.
#
# The bytes are what 2-bit codes would take, scales left out; what is stored here is float32 twice. Notebook 04 writes
# the integers. The latency is that of rounding in every call, and says nothing about a deployed model.

# %% [markdown]
# ## What goes wrong
#
# - **A gradient through `torch.round`.** PyTorch gives 0 and no warning, and training looks healthy. Compare the
#   weights before and after: in the line above they moved by 0.0.
# - **A gradient of 1 everywhere.** A clipped weight, or an activation far outside its range, goes on being pushed
#   outward although nothing changes any more, and it takes long to come back when it has to.
# - **The grid value written back into the weight.** Every update smaller than half a step is lost. In a plot of the
#   weights' distribution over time you see three spikes that never move.

# %% [markdown]
# ## At full size
#
# The same function on every linear weight of a published transformer for pictures, ViT-B/16, at four bits. Where its
# weights or a GPU are missing, the cell says so in one line.

# %%
try:
    full = zoo.load("vit", profile="full")
except zoo.Unavailable as reason:
    print(reason)
else:
    errors = [
        (fake_quantize_weight(layer.weight.float(), 4) - layer.weight).norm() / layer.weight.norm()
        for layer in ops.linear_layers(full).values()
    ]
    print(f"{len(errors)} layers; relative error at 4 bits {torch.stack(errors).mean().item():.3f}")

# %% [markdown]
# ## Further reading
#
# - Bengio et al. 2013 (arXiv 1308.3432): four estimators for a gradient through a decision; this one is the simplest.
# - Courbariaux et al. 2015 (arXiv 1511.00363): latent weights with one bit, and why they act as a regulariser.
# - Nagel et al. 2022 (arXiv 2203.11086): the oscillation you plotted, in MobileNet, and two cures.
